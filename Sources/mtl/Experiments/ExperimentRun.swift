import CaffeSchema
import Compute
import Diagnostics
import Foundation
import Logging
import Nets
import Solvers
import Tasks

/// One training run of an experiment, kept in a folder of its own.
///
/// `run.json` tells of which settings the run is, the snapshots where it stands, and `finished.json` that it is done and
/// how long it took. What it measured is in its metrics file.
struct ExperimentRun {
  /// Index of the experiment's setting.
  let setting: Int
  let subject: Experiment.Subject
  let seed: Int64
  let folder: String
  /// For people.
  let title: String
  let settings: SolverSettings
  private let nets: Nets

  /// What is left of a run that is done.
  struct Finish: Codable, Equatable {
    /// Of a whole run on this machine; nil where that cannot be told.
    var seconds: Double?
    /// Why it could not go on to the end.
    var failure: String?
  }

  private struct Identity: Codable, Equatable {
    /// Checksum of the solver and its nets.
    var checksum: UInt32
  }

  /// - Parameters:
  ///   - source: the solver of this run.
  ///   - nets: instead of those that it names.
  init(
    setting: Int, subject: Experiment.Subject, seed: Int64, folder: String, title: String, source: SolverSource,
    nets: Nets? = nil
  ) throws {
    self.setting = setting
    self.subject = subject
    self.seed = seed
    self.folder = folder
    self.title = title
    settings = try SolverSettings(source)
    self.nets = try nets ?? SolverNets.definitions(settings)
  }

  typealias Nets = (train: SolverNets.Definition, tests: [SolverNets.Definition])

  /// The nets of one task alone.
  static func nets(ofTask task: String, of source: SolverSource, catalogue: LayerCatalogue) throws -> Nets {
    let whole = try SolverNets.definitions(SolverSettings(source))
    let states = [whole.train.state] + whole.tests.map(\.state)
    func alone(_ definition: SolverNets.Definition) throws -> SolverNets.Definition {
      let source = try definition.source.alone(task: task, states: states, catalogue: catalogue)
      return SolverNets.Definition(source: source, state: definition.state)
    }
    return (try alone(whole.train), try whole.tests.map(alone))
  }

  var metricsPath: String { settings.snapshotPrefix + "_metrics.jsonl" }
  private var identityPath: String { folder + "/run.json" }
  private var finishPath: String { folder + "/finished.json" }

  /// nil for a run that is not done.
  var finish: Finish? {
    FileManager.default.contents(atPath: finishPath).flatMap { try? JSONDecoder().decode(Finish.self, from: $0) }
  }

  private func identity() throws -> Identity {
    var bytes = try settings.parameter.serializedData()
    for net in [nets.train] + nets.tests { bytes += try net.source.parameter.serializedData() }
    return Identity(checksum: CRC32C(bytes).value)
  }

  /// Sees whether the folder is free, or holds this very run.
  ///
  /// - Throws: `existingTarget` when it holds another one.
  func checkFolder() throws {
    guard let data = FileManager.default.contents(atPath: identityPath) else { return }
    let own = try identity()
    guard (try? JSONDecoder().decode(Identity.self, from: data)) != own else { return }
    throw Diagnostic(
      .existingTarget,
      "'\(folder)' holds a run of other settings: since then the solver, the net or the experiment was changed; remove that "
        + "folder to run it anew, or give the experiment another output")
  }

  /// Sees whether the nets and what the solver says of them fit; trains nothing.
  func check(engine: any Engine, catalogue: LayerCatalogue) throws {
    _ = try makeSolver(engine, catalogue, Solver.Options())
    _ = try weightPaths()
  }

  private func makeSolver(
    _ engine: any Engine, _ catalogue: LayerCatalogue, _ options: Solver.Options
  ) throws -> Solver {
    let nets = try SolverNets(settings, nets, engine: engine, catalogue: catalogue, seed: UInt64(seed))
    return try Solver(settings, nets: nets, log: ExperimentRun.log, options: options)
  }

  private static var log: TrainingLog { TrainingLog(Logger(label: "mtl", factory: { _ in SwiftLogNoOpLogHandler() })) }

  /// The files of weights that training starts from.
  private func weightPaths() throws -> [String] {
    let search = PathSearch(besideFile: settings.source.file)
    return try settings.weights.map { path in
      guard let found = search.candidates(for: path).first(where: FileManager.default.fileExists(atPath:)) else {
        throw Diagnostic(
          .unreadableFile, "there is no file '\(path)', neither from the working directory nor beside the solver file",
          at: settings.source.places.location("weights"))
      }
      return found
    }
  }

  /// Runs to the end, from the newest snapshot if there is one.
  ///
  /// - Parameters:
  ///   - log: takes the run's warnings.
  ///   - progress: told the iterations done.
  /// - Returns: false when `request` stopped it.
  func run(
    engine: any Engine, catalogue: LayerCatalogue, warn: @escaping (String) -> Void,
    request: @escaping () -> Solver.Request,
    progress: (Int) -> Void
  ) throws -> Bool {
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let identity = try JSONEncoder().encode(identity())
    if FileManager.default.contents(atPath: identityPath) != identity { try writeFile(identity, to: identityPath) }
    if case .alone = subject {
      // For people, and for mtl test.
      try writeFile(nets.train.source.parameter.textFormatString(), to: folder + "/net.prototxt")
    }
    var options = Solver.Options()
    options.keptSnapshots = 1
    // The tables are made from it.
    options.recorders = [MetricsFile(snapshotPrefix: settings.snapshotPrefix, isNeeded: true, warn: warn)]
    let solver = try makeSolver(engine, catalogue, options)
    if let point = ResumePoint.newest(ofPrefix: settings.snapshotPrefix, skipped: { warn($0.message) }) {
      try solver.restore(point)
    } else {
      try WeightLoading(log: ExperimentRun.log).start(solver.nets.train, from: weightPaths())
    }
    let (first, start) = (solver.iteration, monotonicSeconds())
    var finish = Finish()
    do {
      guard try solver.solve(request: request, progress: { progress($0.iteration) }) else { return false }
    } catch let fault as Diagnostic where fault.code == .nonFinite {
      finish.failure = fault.message
    }
    let done = solver.iteration - first
    if done > 0 {
      finish.seconds = (monotonicSeconds() - start) * Double(solver.iteration) / Double(done)
    }
    try writeFile(JSONEncoder().encode(finish), to: finishPath)
    return true
  }
}
