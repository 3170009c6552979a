import CaffeSchema
import Diagnostics
import Nets
import Tasks

/// Task-wise early stopping in a run: what `multi_task { stopping }` says, and what is known of each task.
struct TaskStopping {
  /// A task with its outputs.
  struct Task {
    var name: String
    /// By name, with the loss_weight of the net.
    var losses: [(name: String, weight: Float)]
    var metrics: [String]

    var weight: Float { losses.reduce(0) { $0 + $1.weight } }
    /// All that leaves the training net when the task stops.
    var outputs: [String] { losses.map(\.name) + metrics }

    /// The task's loss, the mean of its losses by weight; nil where none has a label.
    func loss(_ value: (_ name: String) -> Float?) -> Float? {
      var (sum, weights) = (Float(0), Float(0))
      for loss in losses {
        guard let value = value(loss.name) else { continue }
        sum += loss.weight * value
        weights += loss.weight
      }
      return weights > 0 ? sum / weights : nil
    }
  }

  let rule: StoppingRule
  let tasks: [Task]
  var states: [String: StoppingState]
  /// What a task that stops goes back to; nil where it stays as it is.
  var bestHeads: BestHeads?

  /// nil where the solver asks for none.
  ///
  /// - Throws: `badSolver` for numbers out of range, and when a task's loss is no output of the test net.
  init?(_ settings: SolverSettings, _ nets: SolverNets) throws {
    let param = settings.parameter.multiTask
    guard param.hasStopping else { return nil }
    func fault(_ message: String, _ field: String) -> Diagnostic {
      Diagnostic(.badSolver, message, at: settings.source.places.location("multi_task.\(field)"))
    }
    let stopping = param.stopping
    for (value, name) in [
      (stopping.window, "window"), (stopping.smoothing, "smoothing"), (stopping.tests, "tests"),
    ] where value < 1 {
      throw fault("\(name) must be at least 1", "stopping.\(name)")
    }
    guard stopping.threshold >= 0, stopping.threshold.isFinite else {
      throw fault("threshold must be at least 0", "stopping.threshold")
    }
    guard stopping.rule != .paper || stopping.hasThreshold else {
      throw fault("rule: PAPER needs a threshold: its values depend on the loss_weight of each task", "stopping.rule")
    }
    for (index, task) in param.task.enumerated() where !(task.stopThreshold >= 0) {
      throw fault("stop_threshold must be at least 0", "task[\(index)].stop_threshold")
    }
    let net = Int(param.validationNet)
    guard nets.tests.indices.contains(net), settings.testInterval > 0 else {
      throw fault(
        "tasks are stopped by their validation loss, but the solver has no test net \(net); set test_iter and "
          + "test_interval", param.hasValidationNet ? "validation_net" : "stopping")
    }
    let thresholds = param.task.filter(\.hasStopThreshold).map { ($0.name, $0.stopThreshold) }
    rule = StoppingRule(
      measure: stopping.rule == .paper ? .paper : .relative, window: Int(stopping.window),
      smoothing: Int(stopping.smoothing), tests: Int(stopping.tests),
      minIterations: Int(stopping.minIter), threshold: stopping.threshold,
      thresholds: Dictionary(thresholds, uniquingKeysWith: { $1 }), testNet: net)
    let graph = nets.train.graph
    tasks = TaskTable(nets.train).learned.map { task in
      Task(
        name: task.name, losses: task.losses.map { (graph.values[$0].name, graph.values[$0].lossWeight) },
        metrics: task.metrics.map { graph.values[$0].name })
    }
    states = Dictionary(tasks.map { ($0.name, StoppingState()) }, uniquingKeysWith: { $1 })
    bestHeads = stopping.restoreHead ? BestHeads(nets.train) : nil
    let outputs = Set(nets.tests[net].outputs.map(\.name))
    for task in tasks where rule.threshold(ofTask: task.name) > 0 {
      guard let loss = task.losses.first(where: { !outputs.contains($0.name) }) else { continue }
      throw fault(
        "task '\(task.name)' is to be stopped by its validation loss, but test net \(net) has no output '\(loss.name)'; let "
          + "that loss be in both phases, or set the task's stop_threshold to 0", "stopping")
    }
  }

  /// What is left out of the training net.
  var idle: Set<String> { Set(tasks.filter { states[$0.name]?.stoppedAt != nil }.flatMap(\.outputs)) }

  var isEveryTaskStopped: Bool { tasks.allSatisfy { states[$0.name]?.stoppedAt != nil } }
}

/// The losses of the tasks in one training iteration, the means over its passes.
struct IterationLosses {
  private var sums: [String: (sum: Float, passes: Int)] = [:]

  mutating func add(_ net: Net, _ stopping: TaskStopping?) {
    guard let stopping else { return }
    let known = Dictionary(
      net.labelledLosses.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    for task in stopping.tasks {
      guard let loss = task.loss({ known[$0] }) else { continue }
      let old = sums[task.name] ?? (0, 0)
      sums[task.name] = (old.sum + loss, old.passes + 1)
    }
  }

  /// nil of a task without a label.
  func mean(ofTask name: String) -> Float? { sums[name].map { $0.sum / Float($0.passes) } }
}

extension Net {
  /// The losses of the pass that has just run, without those that had no label.
  fileprivate var labelledLosses: [(name: String, value: Float)] {
    graph.values.indices.compactMap { index in
      let value = graph.values[index]
      guard value.lossWeight != 0 else { return nil }
      if let counter = run(ofLayer: value.producer) as? any LossRun, counter.labelledCount == 0 { return nil }
      let blob = blob(ofValue: index)
      return (value.name, (0..<blob.liveCount).reduce(Float(0)) { $0 + blob.values[$1] })
    }
  }
}

extension Solver {
  /// Adds the tasks' losses of an iteration that counts.
  func remember(_ losses: IterationLosses) {
    guard let rule = stopping?.rule else { return }
    for task in stopping?.tasks ?? [] {
      guard let loss = losses.mean(ofTask: task.name) else { continue }
      stopping?.states[task.name]?.add(trainingLoss: loss, rule)
    }
  }

  /// Looks after a test which tasks stop, and takes those out of the training net.
  func stopTasks(_ outputs: [[OutputValue]]) throws {
    guard let stopping else { return }
    let validation = outputs[stopping.rule.testNet]
    var values: [(task: String, value: Float, threshold: Float)] = []
    var stopped: [(task: String, value: Float)] = []
    for task in stopping.tasks {
      let loss = task.loss { name in validation.first { $0.name == name && $0.isKnown }?.value }
      guard let loss, var state = stopping.states[task.name], state.stoppedAt == nil else { continue }
      let threshold = stopping.rule.threshold(ofTask: task.name)
      if threshold > 0, state.isBest(validationLoss: loss) { self.stopping?.bestHeads?.keep(task.name) }
      let stops = state.add(
        validationLoss: loss, weight: task.weight, threshold: threshold, iteration: iteration, stopping.rule)
      self.stopping?.states[task.name] = state
      if let value = state.value { values.append((task.name, value, threshold)) }
      if stops { stopped.append((task.name, state.value ?? 0)) }
    }
    for recorder in options.recorders { recorder.add(.stopping(values), at: iteration) }
    guard !stopped.isEmpty else { return }
    for (task, value) in stopped {
      let limit = stopping.rule.threshold(ofTask: task)
      let head = self.stopping?.bestHeads == nil ? "its head stays as it is" : "its head goes back to its best test"
      log.note(
        "task '\(task)' stops at iteration \(iteration): its stopping value \(logText(value)) was above \(logText(limit)) at "
          + "\(stopping.rule.tests) tests in a row; \(head)")
      self.stopping?.bestHeads?.restore(task)
      for recorder in options.recorders { recorder.add(.taskStopped(task, value: value), at: iteration) }
    }
    guard self.stopping?.isEveryTaskStopped == false else {
      log.note("all tasks have stopped, and so does the training")
      isOver = true
      return
    }
    try leaveOutStoppedTasks()
  }

  /// Makes the training net the one in which nothing is done for the tasks that have stopped.
  func leaveOutStoppedTasks() throws {
    guard let stopping, !stopping.isEveryTaskStopped, nets.train.graph.idle != stopping.idle else { return }
    try nets.leaveOut(stopping.idle)
    update.use(nets.train)
    debug?.nets = nets
    let before = tasks.saved
    tasks = TaskTraining(settings, nets.train)
    tasks.takeOver(before)
  }
}
