import ArgumentParser
import CaffeSchema
import Diagnostics
import Logging
import Nets
import Records
import Solvers

/// `mtl train`: runs a solver file.
struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    _superCommandName: "mtl",
    abstract: "Trains the net that a solver file names.",
    discussion: """
      Log lines go to standard error in Caffe's form. Ctrl-C writes a snapshot and stops; a second one stops at once.
      """
  )

  @Option(help: ArgumentHelp("The solver prototxt.", valueName: "file"))
  var solver: String

  @Option(help: ArgumentHelp("Start from these weights, by layer name (several with commas).", valueName: "caffemodel"))
  var weights: String?

  @Option(help: ArgumentHelp("Go on from this state of an earlier run.", valueName: "solverstate"))
  var snapshot: String?

  @Option(help: ArgumentHelp("Accepted for old scripts and ignored: everything runs on the CPU.", visibility: .hidden))
  var gpu: String?

  @OptionGroup var engineOptions: EngineOptions

  func validate() throws {
    if weights != nil, snapshot != nil {
      throw ValidationError("Give either --weights, to start anew from them, or --snapshot, to go on; not both.")
    }
  }

  func run() throws {
    engineOptions.prepareProcess()
    let log = TrainingLog(Logger(label: "mtl", factory: { _ in GlogHandler() }))
    let settings = try SolverSettings(SolverSource.read(path: solver))
    for note in settings.notes { log.warn(note.description) }
    if gpu != nil { log.warn("--gpu: there is no GPU code here; training runs on the CPU") }
    let seed = chooseSeed(settings, log)
    let nets = try SolverNets(
      settings, engine: engineOptions.makeEngine(), catalogue: EngineOptions.catalogue, seed: seed)
    for net in [nets.train] + nets.tests {
      let warnings = net.source.warnings + net.graph.warnings + (try checkPairedDatabases(of: net.graph))
      for warning in warnings { log.warn(warning.description) }
    }
    let run = Solver(settings, nets: nets, log: log)
    if let snapshot { try run.restore(snapshot) }
    if let weights { try start(nets.train, from: weights, log) }
    try solve(run, log)
  }

  /// `random_seed`, or one that is printed so that the run can be repeated.
  private func chooseSeed(_ settings: SolverSettings, _ log: TrainingLog) -> UInt64 {
    if settings.randomSeed >= 0 { return UInt64(settings.randomSeed) }
    let seed = UInt64.random(in: 0..<(1 << 31))
    log.note("random_seed is not given; this run uses \(seed)")
    return seed
  }

  private func start(_ net: Net, from weights: String, _ log: TrainingLog) throws {
    for path in weights.split(separator: ",").map(String.init) {
      log.finetuning(from: path)
      let report = try net.load(NetSource.readWeights(path), from: path)
      if report.loaded.isEmpty {
        log.warn("'\(path)' has weights for none of the net's layers; are the layers named otherwise?")
      }
      for layer in report.unused { log.note("Ignoring source layer \(layer)") }
      if !report.missing.isEmpty {
        log.note("not in '\(path)', learned from the start: \(report.missing.joined(separator: ", "))")
      }
    }
  }

  private func solve(_ run: Solver, _ log: TrainingLog) throws {
    Interruption.watch()
    var progress = TrainingProgress(from: run.iteration)
    log.starting()
    defer { progress.clear() }
    var isStopped = false
    try run.solve { state in
      progress.show(state)
      isStopped = Interruption.isRequested
      return isStopped ? .stop : .goOn
    }
    if !isStopped { log.finished() }
  }
}

/// The line at the terminal's foot: iteration, rate, time left and loss.
private struct TrainingProgress {
  private let first: Int
  private var line: ProgressLine

  init(from first: Int) {
    self.first = first
    line = ProgressLine("training", unit: "iterations")
  }

  mutating func show(_ state: Solver.Progress) {
    line.update(state.iteration, of: state.maxIterations, from: first, note: ", loss \(logText(state.loss))")
  }

  func clear() { line.clear() }
}
