import CaffeSchema
import Diagnostics
import Glibc
import Nets
import Tensors

/// Trains a net: the loop of forward, backward and update, with tests, log lines and snapshots in between.
///
/// The order of events in an iteration is Caffe's: test, forward and backward `iter_size` times, display, update,
/// snapshot. Which records a pass sees is a function of its number, so a resumed run goes on where it stopped.
package final class Solver {
  /// What the caller wants of a run that goes on.
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

  /// What a run is told besides its solver file.
  package struct Options {
    /// How many snapshots are kept, the newest; nil for all.
    package var keptSnapshots: Int?
    /// Where the weights of the best test are kept too, what they are best at.
    package var best: BestMetric?
    package var nonFinitePolicy = NonFinitePolicy.stop
    package var recorders: [any TrainingRecorder] = []

    package init() {}
  }

  /// Ends the loop from within a test.
  private struct Stop: Error {}

  package let settings: SolverSettings
  package let nets: SolverNets
  package internal(set) var iteration = 0
  let log: TrainingLog
  let options: Options
  let files: SnapshotFiles
  let update: ParameterUpdate
  let statistics: StatisticsCopy
  /// The losses that the smoothed loss is the mean of, oldest first.
  var recentLosses: [Float] = []
  /// What the learning rate of the policy is multiplied by.
  var rateFactor: Float = 1
  var best: BestScore?
  /// The iterations of this run's snapshots that are there.
  var keptSnapshots: [Int] = []
  /// The newest snapshot: its iteration and the path of its state.
  var newestSnapshot: (iteration: Int, path: String)?
  var nonFinite = NonFiniteCount()
  /// The passes of the test nets before the test that is going on.
  var passesBeforeTest: [Int]?
  var lastDisplay: (iteration: Int, time: Double)
  var wantsSnapshot = false
  private var ask: () -> Request = { .goOn }

  package init(_ settings: SolverSettings, nets: SolverNets, log: TrainingLog, options: Options = Options()) {
    self.settings = settings
    self.nets = nets
    self.log = log
    self.options = options
    update = ParameterUpdate(settings, nets.train)
    statistics = StatisticsCopy(nets.train)
    files = SnapshotFiles(prefix: settings.snapshotPrefix, format: settings.snapshotFormat)
    lastDisplay = (0, monotonicSeconds())
  }

  // MARK: The loop

  /// Trains until `max_iter`.
  ///
  /// - Parameters:
  ///   - request: asked after every iteration, and after every batch of a test.
  ///   - progress: told after every iteration.
  /// - Returns: false when it was stopped before the end.
  /// - Throws: `nonFinite` when values are no numbers any more; faults of the data; a failed snapshot.
  package func solve(
    request: @escaping () -> Request = { .goOn }, progress: (Progress) -> Void = { _ in }
  ) throws -> Bool {
    ask = request
    defer { ask = { .goOn } }
    if settings.snapshotInterval > 0 || settings.snapshotsAtEnd || options.best != nil { try prepareSnapshots() }
    for recorder in options.recorders { try recorder.start(at: iteration) }
    log.solving(nets.train.name, policy: settings.parameter.lrPolicy)
    do {
      while iteration < settings.maxIterations {
        let loss = try step()
        progress(Progress(iteration: iteration, maxIterations: settings.maxIterations, loss: loss))
        try heed()
        if wantsSnapshot || settings.snapshotInterval > 0 && iteration % settings.snapshotInterval == 0 {
          try snapshot()
        }
      }
      try finish()
      return true
    } catch is Stop {
      try snapshot()
      log.stoppedEarly()
      return false
    } catch let fault as Diagnostic where [.badRecord, .badImage, .badDatabase].contains(fault.code) {
      // What was learned until then is not lost: once the data are mended, the run goes on.
      try snapshot()
      throw fault
    }
  }

  /// Notes what the caller wants now.
  private func heed() throws {
    switch ask() {
    case .goOn: break
    case .snapshot: wantsSnapshot = true
    case .stop: throw Stop()
    }
  }

  /// One iteration. After a rollback, `iteration` is that of the snapshot.
  ///
  /// - Returns: the smoothed loss.
  package func step() throws -> Float {
    if isTestDue, iteration > 0 || settings.testsAtStart { try testAll() }
    let displays = settings.display > 0 && iteration % settings.display == 0
    let next = nets.train.clock.pass + settings.iterationSize
    statistics.save()
    guard let loss = try computeGradients(), update.gradientsAreFinite else {
      try handleNonFinite(nextPass: next)
      return smoothedLoss
    }
    nonFinite.inARow = 0
    smooth(loss)
    let rate = rateFactor * settings.rates.rate(iteration)
    if displays { display(smoothedLoss, rate: rate) }
    update.apply(rate: rate, iteration: iteration)
    iteration += 1
    return smoothedLoss
  }

  /// Forward and backward `iter_size` times. A fault of the data leaves the net as it was before.
  ///
  /// - Returns: the objective, or nil when it is no number.
  private func computeGradients() throws -> Float? {
    let net = nets.train
    let start = net.clock.pass
    net.clearGradients()
    var sum: Float = 0
    do {
      for _ in 0..<settings.iterationSize {
        let objective = try net.forward()
        guard objective.isFinite else { return nil }
        sum += objective
        try net.backward()
      }
    } catch {
      net.clock.pass = start
      statistics.restore()
      throw error
    }
    return sum / Float(settings.iterationSize)
  }

  private var isTestDue: Bool { settings.testInterval > 0 && iteration % settings.testInterval == 0 }

  private func finish() throws {
    if settings.snapshotsAtEnd { try snapshot() }
    if settings.display > 0, iteration % settings.display == 0 {
      smooth(try nets.train.forward())
      log.finalLoss(iteration, smoothedLoss)
      // This pass was no part of the training.
      nets.train.clock.pass -= 1
    }
    if isTestDue { try testAll() }
    log.optimizationDone()
  }

  private func smooth(_ loss: Float) {
    recentLosses.append(loss)
    recentLosses.removeFirst(max(0, recentLosses.count - settings.averageLoss))
  }

  /// The mean over the last `average_loss` iterations.
  private var smoothedLoss: Float {
    recentLosses.isEmpty ? 0 : recentLosses.reduce(0, +) / Float(recentLosses.count)
  }

  private func display(_ loss: Float, rate: Float) {
    let now = monotonicSeconds()
    let seconds = now - lastDisplay.time
    let count = iteration - lastDisplay.iteration
    let speed = seconds > 0 ? Double(count) / seconds : 0
    log.iteration(iteration, rate: speed, seconds: seconds, display: settings.display, loss: loss)
    lastDisplay = (iteration, now)
    var pass = TestPass(nets.train)
    pass.add()
    let outputs = pass.outputs
    log.outputs(outputs, isTest: false)
    log.rate(iteration, rate)
    record(.train, outputs, loss: loss, passesPerSecond: count > 0 ? speed * Double(settings.iterationSize) : nil)
  }

  // MARK: Testing

  private func testAll() throws {
    passesBeforeTest = nets.tests.map(\.clock.pass)
    var outputs: [[OutputValue]] = []
    for index in nets.tests.indices {
      log.testing(iteration, net: index)
      let start = monotonicSeconds()
      var pass = TestPass(nets.tests[index])
      try pass.run(iterations: settings.testIterations[index]) { _ in try heed() }
      outputs.append(pass.outputs)
      let loss = outputs[index].reduce(0) { $0 + $1.lossWeight * $1.value }
      if settings.testsLoss { log.testLoss(loss) }
      log.outputs(outputs[index], isTest: true)
      let seconds = monotonicSeconds() - start
      record(
        .test(index), outputs[index], loss: loss,
        passesPerSecond: seconds > 0 ? Double(settings.testIterations[index]) / seconds : nil)
    }
    passesBeforeTest = nil
    try keepIfBest(outputs)
  }

  /// Tells the recorders of a line of progress.
  private func record(_ phase: TrainingRecord.Phase, _ outputs: [OutputValue], loss: Float, passesPerSecond: Double?) {
    guard !options.recorders.isEmpty else { return }
    let measured =
      switch phase {
      case .train: nets.train
      case .test(let index): nets.tests[index]
      }
    let record = TrainingRecord(
      phase: phase, iteration: iteration, epoch: nets.train.epoch, rate: rateFactor * settings.rates.rate(iteration),
      loss: loss, outputs: outputs,
      recordsPerSecond: passesPerSecond.flatMap { speed in measured.batchSize.map { speed * Double($0) } },
      memoryByteCount: residentByteCount())
    for recorder in options.recorders { recorder.add(record) }
  }
}

/// Seconds on a clock that never goes back.
package func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
