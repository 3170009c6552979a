import CaffeSchema
import Diagnostics
import Glibc
import Nets
import Tensors

/// Trains a net: the loop of forward, backward and update, with tests, log lines and snapshots in between.
///
/// The order of events in an iteration is Caffe's: test, forward and backward `iter_size` times, display, update,
/// snapshot. Which records a pass sees is a function of the iteration, so a resumed run goes on where it stopped.
package final class Solver {
  /// What the caller wants after an iteration.
  package enum Request: Sendable {
    case goOn
    case snapshot
    /// Snapshot, then end.
    case stop
  }

  package struct Progress: Sendable {
    /// Iterations done.
    package let iteration: Int
    package let maxIterations: Int
    package let loss: Float
  }

  package let settings: SolverSettings
  package let nets: SolverNets
  package private(set) var iteration = 0
  private let log: TrainingLog
  private let update: ParameterUpdate
  private let snapshots: Snapshots
  private var recentLosses: [Float] = []
  private var lastDisplay: (iteration: Int, time: Double)

  package init(_ settings: SolverSettings, nets: SolverNets, log: TrainingLog) {
    self.settings = settings
    self.nets = nets
    self.log = log
    update = ParameterUpdate(settings, nets.train)
    snapshots = Snapshots(prefix: settings.snapshotPrefix)
    lastDisplay = (0, monotonicSeconds())
  }

  // MARK: Resuming

  /// Goes on from a `.solverstate`: weights, history, iteration and with it every data layer's place.
  ///
  /// - Throws: `badState`, `badWeights` or `unreadableFile`.
  package func restore(_ path: String) throws {
    let state = try Snapshots.readState(path, fits: update.histories)
    let weights = try findWeights(state.learnedNet, of: path)
    let report = try nets.train.load(try NetSource.readWeights(weights), from: weights)
    guard report.missing.isEmpty else {
      throw Diagnostic(.badState, "'\(weights)' has no weights for layer '\(report.missing[0])'; is it of another net?")
    }
    for (blob, history) in zip(state.history, update.histories) { blob.copyValues(to: history.values) }
    iteration = Int(state.iter)
    nets.train.clock.pass = iteration * settings.iterationSize
    for (index, net) in nets.tests.enumerated() { net.clock.pass = testsDone * settings.testIterations[index] }
    lastDisplay = (iteration, monotonicSeconds())
    log.resuming(from: path)
  }

  /// The weights as the state names them, from the working directory or beside the state.
  private func findWeights(_ name: String, of state: String) throws -> String {
    let base = name.split(separator: "/").last.map(String.init) ?? name
    let candidates = [name] + PathSearch(besideFile: state).candidates(for: base)
    guard let found = candidates.first(where: fileExists) else {
      throw Diagnostic(.badState, "the weights '\(name)' that '\(state)' belongs with are not there")
    }
    return found
  }

  /// The tests that a run has behind it before iteration `iteration`.
  private var testsDone: Int {
    guard settings.testInterval > 0, iteration > 0 else { return 0 }
    return (iteration - 1) / settings.testInterval + (settings.testsAtStart ? 1 : 0)
  }

  // MARK: The loop

  /// Trains until `max_iter`.
  ///
  /// - Parameter each: called after every iteration; its answer may ask for a snapshot or the end.
  /// - Throws: `nonFinite` when a loss is no number any more; faults of the data; a failed snapshot.
  package func solve(each: (Progress) -> Request = { _ in .goOn }) throws {
    if settings.snapshotInterval > 0 || settings.snapshotsAtEnd { try snapshots.prepareFolder() }
    log.solving(nets.train.name, policy: settings.parameter.lrPolicy)
    while iteration < settings.maxIterations {
      let loss = try step()
      let isDue = settings.snapshotInterval > 0 && iteration % settings.snapshotInterval == 0
      let request = each(Progress(iteration: iteration, maxIterations: settings.maxIterations, loss: loss))
      if isDue || request != .goOn { try snapshot() }
      if request == .stop {
        log.stoppedEarly()
        return
      }
    }
    try finish()
  }

  /// One iteration.
  ///
  /// - Returns: the smoothed loss.
  package func step() throws -> Float {
    if isTestDue, iteration > 0 || settings.testsAtStart { try testAll() }
    let displays = settings.display > 0 && iteration % settings.display == 0
    let net = nets.train
    net.clearGradients()
    var sum: Float = 0
    for _ in 0..<settings.iterationSize {
      sum += try net.forward()
      try checkFinite()
      try net.backward()
    }
    let loss = smooth(sum / Float(settings.iterationSize))
    if displays { display(loss) }
    let rate = settings.baseRate * settings.policy.factor(iteration)
    if displays { log.rate(iteration, rate) }
    update.apply(rate: rate, iteration: iteration)
    iteration += 1
    return loss
  }

  private var isTestDue: Bool { settings.testInterval > 0 && iteration % settings.testInterval == 0 }

  private func finish() throws {
    if settings.snapshotsAtEnd, settings.snapshotInterval == 0 || iteration % settings.snapshotInterval != 0 {
      try snapshot()
    }
    if settings.display > 0, iteration % settings.display == 0 {
      log.finalLoss(iteration, smooth(try nets.train.forward()))
    }
    if isTestDue { try testAll() }
    log.optimizationDone()
  }

  /// The mean over the last `average_loss` iterations.
  private func smooth(_ loss: Float) -> Float {
    if recentLosses.count >= settings.averageLoss { recentLosses.removeFirst() }
    recentLosses.append(loss)
    return recentLosses.reduce(0, +) / Float(recentLosses.count)
  }

  private func display(_ loss: Float) {
    let now = monotonicSeconds()
    let seconds = now - lastDisplay.time
    let rate = seconds > 0 ? Double(iteration - lastDisplay.iteration) / seconds : 0
    log.iteration(iteration, rate: rate, seconds: seconds, display: settings.display, loss: loss)
    lastDisplay = (iteration, now)
    var outputs = TestPass(nets.train)
    outputs.add()
    log.outputs(outputs.outputs, isTest: false)
  }

  /// A loss that is no number stops the run before it spoils the weights.
  private func checkFinite() throws {
    guard !nets.train.objective.isFinite else { return }
    let bad = nets.train.losses.first { !$0.blob.values[0].isFinite }
    let name = bad?.term.name ?? "the objective"
    throw Diagnostic(
      .nonFinite,
      "iteration \(iteration): loss '\(name)' is \(logText(bad?.blob.values[0] ?? .nan)); training stops before the "
        + "weights are changed by it. The last snapshot is whole. Lower base_lr or the task's loss_weight, or look for "
        + "broken records")
  }

  // MARK: Testing and snapshots

  private func testAll() throws {
    for index in nets.tests.indices {
      log.testing(iteration, net: index)
      var pass = TestPass(nets.tests[index])
      try pass.run(iterations: settings.testIterations[index])
      log.outputs(pass.outputs, isTest: true)
    }
  }

  /// Writes weights and state of the present iteration.
  package func snapshot() throws {
    let weights = snapshots.weightsPath(iteration)
    log.snapshotting(weights: weights)
    try writeBinary(nets.train.snapshot(gradients: settings.snapshotsGradients), to: weights)
    var state = SolverState()
    state.iter = Int32(iteration)
    state.learnedNet = weights
    state.currentStep = Int32(settings.policy.stepsDone(iteration))
    state.history = update.histories.map { BlobProto(values: $0.values, shape: $0.entry.parameter.shape) }
    let path = snapshots.statePath(iteration)
    log.snapshotting(state: path)
    try writeBinary(state, to: path)
  }
}

/// Seconds on a clock that never goes back.
package func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
