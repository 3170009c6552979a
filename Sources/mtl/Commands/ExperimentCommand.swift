import ArgumentParser
import CaffeSchema
import Diagnostics
import Foundation
import Solvers

/// `mtl experiment`: several ways to train a net, and its tasks alone, with several seeds, in one table.
struct ExperimentCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "experiment",
    _superCommandName: "mtl",
    abstract: "Compares ways to train a net with each other and with nets of single tasks.",
    discussion: """
      The file names a solver, variants of it, and seeds; see docs/tasks.md. Nets of single tasks are made by taking away \
      the layers of the other tasks. Runs that are done are not done again, and a run that was stopped goes on from its \
      last snapshot, so the same command goes on where it stopped. The table is printed and written to the output folder as \
      table.txt, table.md and table.json.
      """
  )

  @Argument(help: ArgumentHelp("The experiment.", valueName: "prototxt"))
  var file: String

  @Flag(help: "List the runs and whether they are done, and run nothing.")
  var list = false

  @OptionGroup var engineOptions: EngineOptions

  func run() throws {
    engineOptions.prepareProcess()
    let experiment = try Experiment(path: file, catalogue: EngineOptions.catalogue)
    for note in experiment.notes { printError(note) }
    for run in experiment.runs { try run.checkFolder() }
    if list { return show(experiment) }
    let open = experiment.runs.filter { $0.finish == nil }
    if !open.isEmpty {
      let engine = try engineOptions.makeEngine()
      Interruption.watch()
      var checking = ProgressLine("checking", unit: "ways to train")
      try experiment.check(engine: engine, catalogue: EngineOptions.catalogue) { checking.update($0, of: $1) }
      checking.clear()
      let total = open.reduce(0) { $0 + $1.settings.maxIterations }
      var progress = ProgressLine("experiment: iteration", unit: "in all")
      defer { progress.clear() }
      var (before, told) = (0, Set<String>())
      for (index, run) in open.enumerated() {
        let title = ", run \(index + 1) of \(open.count): \(run.title), seed \(run.seed)"
        let place = "\(run.title), seed \(run.seed)"
        do {
          let isDone = try run.run(
            engine: engine, catalogue: EngineOptions.catalogue,
            warn: { if told.insert($0).inserted { printError("warning: \($0)") } },
            request: { Interruption.isRequested ? .stop : .goOn },
            progress: { progress.update(before + $0, of: total, note: title) })
          guard isDone else {
            progress.clear()
            throw Diagnostic(.interrupted, "stopped in \(place); the same command goes on there")
          }
        } catch var fault as Diagnostic where fault.code != .interrupted {
          // What the run of a solver could do instead is no help here.
          if [.outOfSpace, .unwritableFile].contains(fault.code) { fault.notes = [] }
          fault.notes.append(.init("it stopped in \(place); once that is mended, the same command goes on there"))
          throw fault
        }
        before += run.settings.maxIterations
      }
    }
    try tell(try ExperimentResults(experiment), in: experiment.output)
  }

  private func show(_ experiment: Experiment) {
    for run in experiment.runs {
      let state = run.finish.map { $0.failure.map { "failed: \($0)" } ?? "done" } ?? "open"
      print("\(run.folder): \(state)")
    }
  }

  private func tell(_ results: ExperimentResults, in folder: String) throws {
    let text = results.text + "\n"
    try writeFile(text, to: folder + "/table.txt")
    try writeFile(results.markdown + "\n", to: folder + "/table.md")
    try writeFile(results.json(), to: folder + "/table.json")
    print(text, terminator: "")
  }
}
