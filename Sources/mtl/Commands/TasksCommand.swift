import ArgumentParser
import Diagnostics
import Foundation

/// `mtl tasks`: what happened to the tasks of a run, as a picture.
struct TasksCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tasks",
    _superCommandName: "mtl",
    abstract: "Draws what happened to the tasks of a run.",
    discussion: """
      A run is a file PREFIX_metrics.jsonl, or the prefix alone. Panels show losses and metrics of each task, the weights, \
      the norms and cosines of the tasks' gradients (set conflict_interval in multi_task), the stopping rule, and with \
      --alone the gain over runs of single tasks. A dotted line tells that a task stopped there.
      """
  )

  @Argument(help: ArgumentHelp("The run.", valueName: "run"))
  var path: String

  @Option(
    name: .shortAndLong, help: ArgumentHelp("The picture, .svg or .png. (default: PREFIX_tasks.svg)", valueName: "file")
  )
  var output: String?

  @Option(
    parsing: .upToNextOption,
    help: ArgumentHelp("Runs of single tasks; of a run of an experiment they are found.", valueName: "run"))
  var alone: [String] = []

  @Option(help: ArgumentHelp("The test net to show.", valueName: "number"))
  var testNet = 0

  func run() throws {
    let history = try TaskHistory(path, testNet: testNet)
    let others = try (alone.isEmpty ? runsOfSameExperiment(history) : alone).map {
      try TaskHistory($0, testNet: testNet)
    }
    let gains = history.gains(over: others)
    let picture = TaskPicture(history: history, gains: gains)
    let file = output ?? path.replacing("_metrics.jsonl", with: "") + "_tasks.svg"
    try PlotScript.write(to: file, script: picture.script)
    print("\(file): \(history.tasks.count) tasks")
  }

  /// A run of an experiment is OUTPUT/VARIANT/seed-N/run; those of single tasks are OUTPUT/alone-TASK/seed-N/run.
  private func runsOfSameExperiment(_ history: TaskHistory) -> [String] {
    let parts = path.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count >= 3 else { return [] }
    let output = parts.dropLast(3).joined(separator: "/")
    return history.tasks.map { task in
      ([String](output.isEmpty && parts.count == 3 ? [] : [output]) + ["alone-\(task.name)"] + parts.suffix(2)).joined(
        separator: "/"
      ).replacing("_metrics.jsonl", with: "")
    }.filter { FileManager.default.fileExists(atPath: $0 + "_metrics.jsonl") }
  }
}

extension TaskHistory {
  /// By task: how much better the best of its metric (without one, of its loss) is than in the run that trained it
  /// alone, as a share; nil where there is none.
  func gains(over others: [TaskHistory]) -> [Double?] {
    tasks.indices.map { index in
      guard let other = others.first(where: { $0.tasks.map(\.name) == [tasks[index].name] }) else { return nil }
      let isMetric = !metrics[index].isEmpty
      let own = (isMetric ? metrics[index] : testLosses[index]).map(\.value)
      let alone = (isMetric ? other.metrics[0] : other.testLosses[0]).map(\.value)
      guard let last = own.last, let lastAlone = alone.last, lastAlone != 0 else { return nil }
      // A metric is best where training takes it: up or down.
      let rises = isMetric && !(tasks[index].lowerIsBetter ?? false)
      let (best, bestAlone) =
        rises ? (own.max() ?? last, alone.max() ?? lastAlone) : (own.min() ?? last, alone.min() ?? lastAlone)
      return (best - bestAlone) / abs(bestAlone) * (rises ? 1 : -1)
    }
  }
}
