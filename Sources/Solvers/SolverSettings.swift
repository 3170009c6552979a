import CaffeSchema
import Diagnostics
import Tasks

/// A solver file, decoded and checked before anything starts.
package struct SolverSettings: Sendable {
  package enum Regularization: String, Sendable {
    case l1 = "L1"
    case l2 = "L2"
  }

  package let source: SolverSource
  package let rates: RateSchedule
  package let rule: any UpdateRule
  /// The `type` of the rule.
  package var ruleName: String { type(of: rule).type }
  package let weightDecay: Float
  /// Whether the decay is taken off the weights themselves rather than added to the gradient (AdamW).
  package let decouplesDecay: Bool
  /// Layer-wise adaptive rates; nil for the same rate everywhere.
  package let layerRates: LayerRates?
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
  /// Whether the objective of a test is told too (`test_compute_loss`).
  package let testsLoss: Bool
  /// Batches of each test net.
  package let testIterations: [Int]
  package let snapshotInterval: Int
  package let snapshotPrefix: String
  package let snapshotFormat: SnapshotFormat
  package let snapshotsAtEnd: Bool
  package let snapshotsGradients: Bool
  /// Whether snapshots hold the solver's state and not the weights alone.
  package let snapshotsState: Bool
  /// Files of weights to start from, when the command line names none.
  package let weights: [String]
  /// As given; negative for 'any'.
  package let randomSeed: Int64
  /// The tasks and how they are weighted.
  package let multiTask: MultiTaskSettings
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
    let size =
      solver.hasIterSize || !solver.hasUpdateInterval
      ? ("iter_size", solver.iterSize) : ("update_interval", solver.updateInterval)
    guard size.1 >= 1 else { throw fault("\(size.0) must be at least 1", size.0) }
    guard solver.averageLoss >= 1 else { throw fault("average_loss must be at least 1", "average_loss") }
    guard solver.snapshot >= 0 else { throw fault("snapshot must be at least 0", "snapshot") }
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
    rates = try RateSchedule(solver, places: places)
    rule = try SolverSettings.rule(solver, fault)
    decouplesDecay = solver.type == AdamW.type
    weightDecay = decouplesDecay && solver.hasAdamwDecay ? solver.adamwDecay : solver.weightDecay
    layerRates = try LayerRates(solver, places: places)
    clipGradients = solver.clipGradients >= 0 ? solver.clipGradients : nil
    maxIterations = Int(solver.maxIter)
    iterationSize = Int(size.1)
    display = Int(solver.display)
    averageLoss = Int(solver.averageLoss)
    testInterval = Int(solver.testInterval)
    testsAtStart = solver.testInitialization
    testsLoss = solver.testComputeLoss
    testIterations = solver.testIter.map(Int.init)
    snapshotInterval = Int(solver.snapshot)
    snapshotPrefix = SolverSettings.prefix(solver, source)
    snapshotFormat = solver.snapshotFormat == .hdf5 ? .hdf5 : .binary
    snapshotsAtEnd = solver.snapshotAfterTrain
    snapshotsGradients = solver.snapshotDiff
    snapshotsState = !solver.hasSnapshotIncludeState || solver.snapshotIncludeState
    weights = solver.weights.flatMap { $0.split(separator: ",").map(String.init) }
    randomSeed = solver.randomSeed
    multiTask = try MultiTaskSettings(solver.multiTask, places: places.scoped(to: "multi_task"))
    notes = try SolverField.notes(solver, places)
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
    case AdamW.type:
      guard solver.regularizationType == "L2" else {
        throw fault(
          "type \"AdamW\" decays as L2 does, and knows no \(solver.regularizationType)", "regularization_type")
      }
      guard !(solver.hasAdamwDecay && solver.weightDecay != 0) else {
        throw fault("give either adamw_decay or weight_decay, which mean the same for AdamW", "adamw_decay")
      }
      return AdamW(beta1: momentum, beta2: solver.momentum2, delta: solver.delta)
    default:
      let known = [SGD.type, Nesterov.type, AdaGrad.type, RMSProp.type, AdaDelta.type, Adam.type, AdamW.type]
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
}
