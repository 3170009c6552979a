import ArgumentParser
import CaffeSchema
import Diagnostics
import Foundation
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
      Log lines go to standard error in Caffe's form. Ctrl-C writes a snapshot and stops; a second one stops at once. A \
      run that is gone on with is the same, bit for bit, as one that was never stopped.
      """
  )

  /// The options that take no value.
  static let flagNames: Set<String> = ["resume", "tune"]

  @Option(help: ArgumentHelp("The solver prototxt.", valueName: "file"), completion: .file())
  var solver: String

  @Option(
    help: ArgumentHelp("Start from these weights, by layer name (several with commas).", valueName: "caffemodel"),
    completion: .file(extensions: ["caffemodel", "h5"]))
  var weights: String?

  @Option(
    help: ArgumentHelp("Go on from this state of an earlier run.", valueName: "solverstate"),
    completion: .file(extensions: ["solverstate", "h5"]))
  var snapshot: String?

  @Flag(
    help: """
      Go on from the newest whole snapshot of the solver's snapshot_prefix; start at the beginning where there is none.
      """)
  var resume = false

  @Option(help: ArgumentHelp("Keep the newest snapshots of this run and remove older ones.", valueName: "count"))
  var keep: Int?

  @Option(
    help: ArgumentHelp(
      """
      Keep the weights of the best test in PREFIX_best.caffemodel: an output's name, 'loss' for the sum of all, or a \
      layer type such as 'accuracy' for the mean over tasks.
      """, valueName: "metric"))
  var keepBest: String?

  @Option(help: "When a loss or gradient is no number: stop, skip the iteration, or go back to the last snapshot.")
  var onNonfinite: NonFinitePolicy = .stop

  @Option(
    help: ArgumentHelp("Write the curves for TensorBoard into this folder.", valueName: "folder"),
    completion: .directory)
  var tensorboard: String?

  @OptionGroup var stateOptions: StateOptions

  @Option(help: "What SIGINT (Ctrl-C) does: stop (after a snapshot), snapshot, none.")
  var sigintEffect: Interruption.Effect = .stop

  @Option(help: "What SIGHUP does: stop (after a snapshot), snapshot, none.")
  var sighupEffect: Interruption.Effect = .snapshot

  @Flag(
    help: """
      Measure once which algorithm is fastest for each convolution, and keep that in PREFIX_tuning.json beside the \
      snapshots; runs with that snapshot_prefix use it from then on.
      """)
  var tune = false

  @Option(help: ArgumentHelp("Accepted for old scripts and ignored: everything runs on the CPU.", visibility: .hidden))
  var gpu: String?

  @OptionGroup var engineOptions: EngineOptions

  func validate() throws {
    if snapshot != nil, resume { throw ValidationError("Give either --snapshot or --resume, not both.") }
    if weights != nil, snapshot != nil {
      throw ValidationError("Give either --weights, to start anew from them, or --snapshot, to go on; not both.")
    }
    if tune, engineOptions.tuning != nil { throw ValidationError("Give either --tune or --tuning, not both.") }
    if let keep, keep < 1 { throw ValidationError("--keep must be at least 1.") }
  }

  func run() throws {
    engineOptions.prepareProcess()
    let log = TrainingLog(Logger(label: "mtl", factory: { _ in GlogHandler() }))
    let settings = try SolverSettings(solverSource())
    for note in settings.notes { log.warn(note.description) }
    if gpu != nil { log.warn("--gpu: there is no GPU code here; training runs on the CPU") }
    let point = try resumePoint(settings, log)
    let seed = chooseSeed(settings, point, log)
    let tuning = try TuningFile(snapshotPrefix: settings.snapshotPrefix, measures: tune)
    if let tuning { log.note("convolutions are computed as \(tuning.path) says") }
    let nets = try SolverNets(
      settings, engine: engineOptions.makeEngine(tuning: tuning?.tuning), catalogue: EngineOptions.catalogue,
      seed: seed)
    log.creating(nets, settings)
    try tuning?.save()
    for net in [nets.train] + nets.tests {
      let warnings = net.source.warnings + net.graph.warnings + (try checkPairedDatabases(of: net.graph))
      for warning in warnings { log.warn(warning.description) }
    }
    let run = try Solver(settings, nets: nets, log: log, options: try options(settings, nets, log))
    if let point {
      try run.restore(point)
    } else {
      try WeightLoading(log: log).start(nets.train, from: weightPaths(settings))
    }
    try solve(run, log)
  }

  /// The solver file, with the state that the command line adds.
  private func solverSource() throws -> SolverSource {
    var source = try SolverSource.read(path: solver)
    if stateOptions.level != nil || stateOptions.stage != nil {
      stateOptions.add(&source.parameter.trainState)
    }
    return source
  }

  private func options(_ settings: SolverSettings, _ nets: SolverNets, _ log: TrainingLog) throws -> Solver.Options {
    var options = Solver.Options()
    options.keptSnapshots = keep
    options.best = try keepBest.map { try BestMetric($0, tests: nets.tests) }
    options.nonFinitePolicy = onNonfinite
    options.recorders = [MetricsFile(snapshotPrefix: settings.snapshotPrefix, warn: log.warn)]
    if let tensorboard { options.recorders.append(EventFile(folder: tensorboard, warn: log.warn)) }
    return options
  }

  /// What the run goes on from; nil for a start at the beginning.
  private func resumePoint(_ settings: SolverSettings, _ log: TrainingLog) throws -> ResumePoint? {
    if let snapshot { return try ResumePoint(snapshot) }
    guard resume else { return nil }
    let prefix = settings.snapshotPrefix
    let point = ResumePoint.newest(ofPrefix: prefix) { log.warn("skipped: \($0.message)") }
    if point == nil { log.note("--resume: there is no whole snapshot '\(prefix)_iter_…'; starting at the beginning") }
    return point
  }

  /// That of the run which goes on; else `random_seed`; else one that is printed so that the run can be repeated.
  private func chooseSeed(_ settings: SolverSettings, _ point: ResumePoint?, _ log: TrainingLog) -> UInt64 {
    let given = settings.randomSeed >= 0 ? UInt64(settings.randomSeed) : nil
    if let seed = point?.runState?.seed {
      if let given, given != seed {
        log.warn("random_seed \(given) is not that of the run which goes on; its \(seed) is used")
      }
      return seed
    }
    if let given { return given }
    let seed = UInt64.random(in: 0..<(1 << 31))
    log.note("random_seed is not given; this run uses \(seed)")
    return seed
  }

  /// The command line's, or those that the solver file names.
  private func weightPaths(_ settings: SolverSettings) -> [String] {
    if let weights { return weights.split(separator: ",").map(String.init) }
    let search = PathSearch(besideFile: solver)
    return settings.weights.map { path in
      search.candidates(for: path).first { FileManager.default.fileExists(atPath: $0) } ?? path
    }
  }

  private func solve(_ run: Solver, _ log: TrainingLog) throws {
    Interruption.watch([SIGINT: sigintEffect, SIGTERM: .stop, SIGHUP: sighupEffect])
    // The reader of the log may end first, as when Ctrl-C ends 'tee' too.
    signal(SIGPIPE, SIG_IGN)
    var progress = TrainingProgress(from: run.iteration)
    log.starting()
    defer { progress.clear() }
    let isDone = try run.solve(
      request: {
        if Interruption.isRequested { return .stop }
        return Interruption.takeSnapshotRequest() ? .snapshot : .goOn
      }, progress: { progress.show($0) })
    if isDone { log.finished() }
  }
}

extension NonFinitePolicy: ExpressibleByArgument {}

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
