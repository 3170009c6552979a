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
      --alone the gain over runs of single tasks. A dotted line tells that a task stopped there. Of more than 12 tasks each \
      has a row of colours in the place of a curve.
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
    guard history.testNets.isEmpty && testNet == 0 || history.testNets.contains(testNet) else {
      let known = history.testNets.map(String.init).joined(separator: ", ")
      throw Diagnostic(
        .badArgument,
        "'\(path)' has no tests of test net \(testNet)"
          + (known.isEmpty ? "; it has none at all" : "; it has those of \(known)"))
    }
    let others = try (alone.isEmpty ? runsOfSameExperiment(history) : alone).map { path in
      let other = try TaskHistory(path, testNet: testNet)
      guard other.tasks.count == 1, history.tasks.contains(where: { $0.name == other.tasks[0].name }) else {
        throw Diagnostic(
          .badArgument,
          "'\(path)' is no run of one of these tasks alone (its tasks: \(other.tasks.map(\.name).joined(separator: ", ")))"
        )
      }
      return other
    }
    let gains = history.gains(over: others)
    let picture = TaskPicture(history: history, gains: gains)
    let file = output ?? path.replacing("_metrics.jsonl", with: "") + "_tasks.svg"
    try PlotScript.write(to: file, script: picture.script)
    print("\(file): \(history.tasks.count) task\(history.tasks.count == 1 ? "" : "s")")
  }

  /// A run of an experiment is OUTPUT/VARIANT/seed-N/run; those of single tasks are OUTPUT/alone-TASK/seed-N/run, or
  /// OUTPUT/alone-TASK/WAY/seed-N/run where there are several ways to train them.
  private func runsOfSameExperiment(_ history: TaskHistory) -> [String] {
    let parts = path.replacing("_metrics.jsonl", with: "").split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count >= 3 else { return [] }
    let output = parts.dropLast(3).map { $0 + "/" }.joined()
    let end = parts.suffix(2).joined(separator: "/")
    return history.tasks.flatMap { task in
      let folder = "\(output)alone-\(task.name)"
      let ways = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      return (["\(folder)/\(end)"] + ways.sorted().map { "\(folder)/\($0)/\(end)" })
    }.filter { FileManager.default.fileExists(atPath: $0 + "_metrics.jsonl") }
  }
}

extension TaskHistory {
  /// By task: how much better the best of its metric (without one, of its loss) is than in the best of the runs that
  /// trained it alone, as a share; nil where there is none.
  func gains(over others: [TaskHistory]) -> [Double?] {
    tasks.indices.map { index in
      let alone = others.filter { $0.tasks.map(\.name) == [tasks[index].name] }
      let isMetric = !metrics[index].isEmpty
      // A metric is best where training takes it: up or down.
      let rises = isMetric && !(tasks[index].lowerIsBetter ?? false)
      func best(_ points: [Point]) -> Double? { rises ? points.map(\.value).max() : points.map(\.value).min() }
      let own = best(isMetric ? metrics[index] : testLosses[index])
      let other = best(alone.flatMap { isMetric ? $0.metrics[0] : $0.testLosses[0] })
      guard let own, let other, other != 0 else { return nil }
      return (own - other) / abs(other) * (rises ? 1 : -1)
    }
  }
}
