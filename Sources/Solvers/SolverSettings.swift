import CaffeSchema
import Diagnostics

/// A solver file, decoded and checked before anything starts.
package struct SolverSettings: Sendable {
  package enum Regularization: String, Sendable {
    case l1 = "L1"
    case l2 = "L2"
  }

  package let source: SolverSource
  package let baseRate: Float
  package let policy: RatePolicy
  package let rule: any UpdateRule
  package let weightDecay: Float
  package let regularization: Regularization
  /// Above this norm the gradient of all parameters together is scaled down to it; nil for never.
  package let clipGradients: Float?
  package let maxIterations: Int
  /// Batches whose gradients are averaged for one update.
  package let iterationSize: Int
  /// Every so many iterations; 0 for never.
  package let display: Int
  package let averageLoss: Int
  package let testInterval: Int
  package let testsAtStart: Bool
  /// Batches of each test net.
  package let testIterations: [Int]
  package let snapshotInterval: Int
  package let snapshotPrefix: String
  package let snapshotsAtEnd: Bool
  package let snapshotsGradients: Bool
  /// As given; negative for 'any'.
  package let randomSeed: Int64
  /// Fields that were read and have no effect here, with the reason: printed once.
  package let notes: [Diagnostic]

  package var parameter: SolverParameter { source.parameter }

  /// - Throws: `badSolver`, with the place of the field at fault.
  package init(_ source: SolverSource) throws {
    let solver = source.parameter
    let places = source.places
    func fault(_ message: String, _ field: String = "") -> Diagnostic {
      Diagnostic(.badSolver, message, at: places.location(field))
    }
    guard solver.hasBaseLr else { throw fault("base_lr is missing") }
    guard solver.hasMaxIter, solver.maxIter >= 0 else { throw fault("max_iter is missing", "max_iter") }
    guard solver.iterSize >= 1 else { throw fault("iter_size must be at least 1", "iter_size") }
    guard solver.averageLoss >= 1 else { throw fault("average_loss must be at least 1", "average_loss") }
    guard let regularization = Regularization(rawValue: solver.regularizationType) else {
      throw fault("unknown regularization_type \"\(solver.regularizationType)\" (known: L1, L2)", "regularization_type")
    }
    for (index, count) in solver.testIter.enumerated() where count < 1 {
      throw fault("test_iter must be at least 1", "test_iter[\(index)]")
    }
    if solver.testInterval > 0, solver.testIter.isEmpty {
      throw fault("test_interval is given without test_iter; say how many batches a test takes", "test_interval")
    }
    self.source = source
    self.regularization = regularization
    baseRate = solver.baseLr
    policy = try RatePolicy(solver, places: places)
    rule = try SolverSettings.rule(solver, fault)
    weightDecay = solver.weightDecay
    clipGradients = solver.clipGradients >= 0 ? solver.clipGradients : nil
    maxIterations = Int(solver.maxIter)
    iterationSize = Int(solver.iterSize)
    display = Int(solver.display)
    averageLoss = Int(solver.averageLoss)
    testInterval = Int(solver.testInterval)
    testsAtStart = solver.testInitialization
    testIterations = solver.testIter.map(Int.init)
    snapshotInterval = Int(solver.snapshot)
    snapshotPrefix = SolverSettings.prefix(solver, source)
    snapshotsAtEnd = solver.snapshotAfterTrain
    snapshotsGradients = solver.snapshotDiff
    randomSeed = solver.randomSeed
    notes = SolverSettings.notes(solver, places)
    guard solver.snapshotFormat == .binaryproto else {
      throw Diagnostic(
        .unsupported, "snapshot_format HDF5 is not supported; use BINARYPROTO", at: places.location("snapshot_format"))
    }
  }

  private static func rule(_ solver: SolverParameter, _ fault: (String, String) -> Diagnostic) throws -> any UpdateRule
  {
    let momentum = solver.momentum
    func withoutMomentum(_ rule: any UpdateRule) throws -> any UpdateRule {
      guard momentum == 0 else { throw fault("type \"\(solver.type)\" takes no momentum; leave it out", "momentum") }
      return rule
    }
    switch solver.type {
    case SGD.type: return SGD(momentum: momentum)
    case Nesterov.type: return Nesterov(momentum: momentum)
    case AdaGrad.type: return try withoutMomentum(AdaGrad(delta: solver.delta))
    case RMSProp.type: return try withoutMomentum(RMSProp(decay: solver.rmsDecay, delta: solver.delta))
    case AdaDelta.type: return AdaDelta(momentum: momentum, delta: solver.delta)
    case Adam.type: return Adam(beta1: momentum, beta2: solver.momentum2, delta: solver.delta)
    default:
      let known = [SGD.type, Nesterov.type, AdaGrad.type, RMSProp.type, AdaDelta.type, Adam.type]
      let meant = nearestName(to: solver.type, among: known).map { "; did you mean \"\($0)\"?" } ?? ""
      throw fault(
        "unknown solver type \"\(solver.type)\"\(meant) (known: \(known.joined(separator: ", ")))", "type")
    }
  }

  /// Without snapshot_prefix, the solver file's own name without its ending.
  private static func prefix(_ solver: SolverParameter, _ source: SolverSource) -> String {
    if !solver.snapshotPrefix.isEmpty { return solver.snapshotPrefix }
    guard let file = source.file else { return "snapshot" }
    let slash = file.lastIndex(of: "/")
    let start = slash.map { file.index(after: $0) } ?? file.startIndex
    let dot = file[start...].lastIndex(of: ".") ?? file.endIndex
    return String(file[..<dot])
  }

  private static func notes(_ solver: SolverParameter, _ places: FieldPlaces) -> [Diagnostic] {
    var notes: [Diagnostic] = []
    if solver.hasSolverMode, solver.solverMode == .gpu {
      notes.append(
        Diagnostic(
          .unsupported, "solver_mode GPU: there is no GPU code here; training runs on the CPU", severity: .warning,
          at: places.location("solver_mode")))
    }
    return notes
  }
}
