import CaffeSchema
import Diagnostics
import Glibc
import Nets
import Tasks
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
  package internal(set) var nets: SolverNets
  package internal(set) var iteration = 0
  let log: TrainingLog
  private(set) var options: Options
  let files: SnapshotFiles
  let update: ParameterUpdate
  let statistics: StatisticsCopy
  /// Of the tasks that have not stopped.
  var tasks: TaskTraining
  var debug: DebugInfo?
  /// The losses that the smoothed loss is the mean of, oldest first.
  var recentLosses: [Float] = []
  /// What the learning rate of the policy is multiplied by.
  var rateFactor: Float = 1
  var best: BestScore?
  /// The best test of each task so far, and how many tests ago one got better.
  var taskBests: [String: BestScore] = [:]
  var testsWithoutGain = 0
  /// The iteration of the newest test that tasks were judged by.
  var judgedTest: Int?
  /// The tasks of the whole training net, with their losses.
  let allTasks: [(name: String, losses: [String])]
  /// What tells how good each task is; empty where nobody asks.
  var taskMetrics: [TaskMetric] = []
  /// nil where tasks do not stop by themselves.
  var stopping: TaskStopping?
  /// Whether training ends before max_iter, since there is nothing more to gain.
  var isOver = false
  /// The iterations of this run's snapshots that are there.
  var keptSnapshots: [Int] = []
  /// The newest snapshot: its iteration, the path of its state, and whether training had ended.
  var newestSnapshot: (iteration: Int, path: String, isOver: Bool)?
  var nonFinite = NonFiniteCount()
  /// The passes of the test nets before the test that is going on.
  var passesBeforeTest: [Int]?
  var lastDisplay: (iteration: Int, time: Double)
  var wantsSnapshot = false
  private var ask: () -> Request = { .goOn }
  /// Of the iteration that is going on.
  private var iterationLosses = IterationLosses()

  /// - Throws: `badSolver` when what `multi_task` says does not fit the nets.
  package init(_ settings: SolverSettings, nets: SolverNets, log: TrainingLog, options: Options = Options()) throws {
    self.settings = settings
    self.nets = nets
    self.log = log
    self.options = options
    update = ParameterUpdate(settings, nets.train)
    allTasks = TaskTable(nets.train).learned.map { task in
      (task.name, task.losses.map { nets.train.graph.values[$0].name })
    }
    statistics = StatisticsCopy(nets.train)
    tasks = TaskTraining(settings, nets.train)
    debug = DebugInfo(settings, nets, log)
    files = SnapshotFiles(prefix: settings.snapshotPrefix, format: settings.snapshotFormat)
    lastDisplay = (0, monotonicSeconds())
    stopping = try TaskStopping(settings, nets)
    taskMetrics = try bestMetricsOfTasks()
    if settings.parameter.multiTask.keepBest, options.best == nil {
      let net = Int(settings.parameter.multiTask.validationNet)
      self.options.best = try BestMetric(taskMetrics, net: net, tests: nets.tests)
    }
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
    if settings.snapshotInterval > 0 || settings.snapshotsAtEnd || options.best != nil
      || settings.parameter.multiTask.keepBest
    {
      try prepareSnapshots()
    }
    for recorder in options.recorders {
      // The last test of a run that is over is not done again.
      try recorder.start(at: isOver ? iteration + 1 : iteration)
      recorder.add(.tasks(taskOutputs), at: iteration)
    }
    log.solving(nets.train.name, policy: settings.parameter.lrPolicy)
    do {
      while iteration < settings.maxIterations, !isOver {
        let loss = try step()
        try heedRecorders()
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

  /// - Throws: the fault of a recorder without which the run is worth nothing.
  private func heedRecorders() throws {
    for recorder in options.recorders { if let fault = recorder.fault { throw fault } }
  }

  /// One iteration. After a rollback, `iteration` is that of the snapshot.
  ///
  /// - Returns: the smoothed loss.
  package func step() throws -> Float {
    if isTestDue, iteration > 0 || settings.testsAtStart { try testAll() }
    guard !isOver else { return smoothedLoss }
    let displays = settings.display > 0 && iteration % settings.display == 0
    let next = nets.train.clock.pass + settings.iterationSize
    statistics.save()
    let rate = rateFactor * settings.rates.rate(iteration)
    tasks.begin(iteration, rate: rate)
    debug?.begin(isShown: displays)
    guard let loss = try computeGradients(), update.gradientsAreFinite else {
      try handleNonFinite(nextPass: next)
      return smoothedLoss
    }
    nonFinite.inARow = 0
    smooth(loss)
    remember(iterationLosses)
    if displays { display(smoothedLoss, rate: rate) }
    if let conflict = tasks.conflict { for recorder in options.recorders { recorder.add(conflict) } }
    if let debug {
      debug.update { update.apply(rate: rate, iteration: iteration) }
    } else {
      update.apply(rate: rate, iteration: iteration)
    }
    try tasks.finish()
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
    var losses = IterationLosses()
    do {
      for _ in 0..<settings.iterationSize {
        let objective = try net.forward()
        guard objective.isFinite else { return nil }
        sum += objective
        losses.add(net, stopping)
        try tasks.backward()
        debug?.tellNorms()
      }
    } catch {
      net.clock.pass = start
      statistics.restore()
      tasks.undo()
      throw error
    }
    guard tasks.finishGradients() else { return nil }
    iterationLosses = losses
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
    if isTestDue, !isOver { try testAll() }
    try heedRecorders()
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
    if settings.multiTask.weighting != .fixed { log.taskWeights(zip(tasks.names, tasks.weights).map { ($0, $1) }) }
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
    // A test that a resumed run does again is judged once.
    guard judgedTest != iteration else { return }
    try keepBestOfTasks(outputs)
    try stopTasks(outputs)
    judgedTest = iteration
  }

  /// Tells the recorders of a line of progress.
  private func record(_ phase: TrainingRecord.Phase, _ outputs: [OutputValue], loss: Float, passesPerSecond: Double?) {
    guard !options.recorders.isEmpty else { return }
    let measured =
      switch phase {
      case .train: nets.train
      case .test(let index): nets.tests[index]
      }
    var record = TrainingRecord(
      phase: phase, iteration: iteration, epoch: nets.train.epoch, rate: rateFactor * settings.rates.rate(iteration),
      loss: loss, outputs: outputs,
      recordsPerSecond: passesPerSecond.flatMap { speed in measured.batchSize.map { speed * Double($0) } },
      memoryByteCount: residentByteCount())
    record.tasks = TaskValue.values(of: measured, outputs)
    if phase == .train {
      for index in record.tasks.indices {
        record.tasks[index].weight = tasks.names.firstIndex(of: record.tasks[index].name).map { tasks.weights[$0] }
      }
      record.weightingState = tasks.weighting.state
    }
    for recorder in options.recorders { recorder.add(record) }
  }
}

/// Seconds on a clock that never goes back.
package func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}
