import CaffeSchema
import Nets
import Tasks
import Tensors

/// The tasks of a training run with their weighting: what it is told of each pass, and what it makes of the gradients.
final class TaskTraining {
  private struct Task {
    let name: String
    let losses: [(term: LossTerm, blob: Blob)]

    /// The sum of loss_weight times loss.
    var loss: Double {
      losses.reduce(0) { sum, loss in
        let values = UnsafeBufferPointer(start: loss.blob.values, count: loss.blob.liveCount)
        return sum + Double(loss.term.weight) * values.reduce(0) { $0 + Double($1) }
      }
    }

    func multiply(by factor: Double) {
      for loss in losses { loss.term.factor = Float(factor) }
    }
  }

  private let settings: MultiTaskSettings
  private let net: Net
  private let iterationSize: Int
  private let tasks: [Task]
  private let statistics: StatisticsCopy
  private(set) var weighting: any Weighting
  /// Of the last iteration.
  private(set) var weights: [Double]
  /// As they were before the iteration.
  private var before: (weighting: any Weighting, weights: [Double])
  private var moment: WeightingMoment
  /// Of the last pass.
  private var lastLosses: [Double]
  /// Sums over the passes of the iteration in which something was labelled for the task, and how many those were.
  private var lossSum: [Double]
  private var weightSum: [Double]
  private var labelledPasses: [Double]
  /// Whether this iteration runs task by task only to measure.
  private var measures = false
  private var backwardSeconds = 0.0
  private var usualBackwardSeconds: Double?
  /// What was measured in the last iteration.
  private(set) var conflict: TaskConflict?

  init(_ settings: SolverSettings, _ net: Net) {
    self.settings = settings.multiTask
    self.net = net
    iterationSize = settings.iterationSize
    statistics = StatisticsCopy(net)
    let losses = Dictionary(net.losses.map { (ObjectIdentifier($0.blob), $0) }, uniquingKeysWith: { first, _ in first })
    tasks = TaskTable(net).learned.map { task in
      Task(
        name: task.name, losses: task.losses.compactMap { losses[ObjectIdentifier(net.blob(ofValue: $0))] })
    }
    weighting = settings.multiTask.makeWeighting(tasks: tasks.map(\.name))
    weights = tasks.map { _ in 1 }
    lossSum = tasks.map { _ in 0 }
    (lastLosses, weightSum, labelledPasses) = (lossSum, lossSum, lossSum)
    before = (weighting, weights)
    let passes = net.passesInRound ?? 1
    moment = WeightingMoment(
      iteration: 0, rate: 0, roundIterations: max(1, passes / settings.iterationSize), seed: net.clock.seed)
    net.representationGradients?.weigh = { [unowned self] in self.weighGradients($0) }
  }

  var names: [String] { tasks.map(\.name) }

  // MARK: An iteration

  func begin(_ iteration: Int, rate: Float) {
    before = (weighting, weights)
    moment.iteration = iteration
    moment.rate = Double(rate)
    for index in tasks.indices { (lossSum[index], weightSum[index], labelledPasses[index]) = (0, 0, 0) }
    conflict = nil
    backwardSeconds = 0
    measures = isMeasured && net.measuringSteps != nil
  }

  private var isMeasured: Bool { settings.conflictInterval.map { moment.iteration % $0 == 0 } ?? false }

  /// Backward of a pass that has just run forward.
  func backward() throws {
    for (index, task) in tasks.enumerated() { lastLosses[index] = task.loss }
    switch weighting {
    case let weighting as any LossWeighting:
      weights = weighting.weights(lastLosses, moment)
      for (task, weight) in zip(tasks, weights) { task.multiply(by: weight) }
    case let weighting as any GradientWeighting:
      for (task, scale) in zip(tasks, weighting.scales(lastLosses, moment)) { task.multiply(by: scale) }
    default: break
    }
    for index in tasks.indices where lastLosses[index] != 0 {
      lossSum[index] += lastLosses[index]
      weightSum[index] += weights[index]
      labelledPasses[index] += 1
    }
    let start = monotonicSeconds()
    if measures { try net.backwardTaskByTask() } else { try net.backward() }
    backwardSeconds += monotonicSeconds() - start
  }

  /// After the last pass: makes the gradients of the shared parameters one.
  ///
  /// - Returns: false where they are no numbers.
  func finishGradients() -> Bool {
    if let gradients = net.taskGradients, measures || settings.order == .taskByTask {
      let start = monotonicSeconds()
      let gram = gradients.gram()
      guard gram.isFinite else { return false }
      if measures {
        gradients.combine(tasks.map { _ in 1 })
        // Of several passes each has its own weights.
        note(
          gram, dividedBy: labelledMeans(weightSum), passes: iterationSize,
          seconds: backwardSeconds + monotonicSeconds() - start)
      } else {
        combine(gradients, gram, meanLosses)
      }
    } else if settings.order == .together {
      usualBackwardSeconds = backwardSeconds
    }
    if var learned = weighting as? any LossWeighting {
      learned.learn(meanLosses, moment)
      weighting = learned
    }
    return true
  }

  private var meanLosses: [Double] { labelledMeans(lossSum) }

  private func labelledMeans(_ sums: [Double]) -> [Double] { zip(sums, labelledPasses).map { $0 / max(1, $1) } }

  private func combine(_ gradients: TaskGradients, _ gram: GramMatrix, _ losses: [Double]) {
    let scales = self.scales(losses)
    let found = weigh(gram, zip(losses, scales).map { $0 * $1 })
    gradients.combine(found.map(Float.init))
    weights = zip(found, scales).map { $0 * $1 }
    if isMeasured { note(gram, dividedBy: scales, passes: iterationSize, seconds: nil) }
  }

  private func scales(_ losses: [Double]) -> [Double] {
    (weighting as? any GradientWeighting)?.scales(losses, moment) ?? losses.map { _ in 1 }
  }

  private func weigh(_ gram: GramMatrix, _ losses: [Double]) -> [Double] {
    guard var weigher = weighting as? any GradientWeighting else { return losses.map { _ in 1 } }
    let found = weigher.weights(gram, losses, moment)
    weighting = weigher
    return found
  }

  /// At the representation, in each pass.
  private func weighGradients(_ gram: GramMatrix) -> [Float] {
    guard gram.isFinite else { return tasks.map { _ in .nan } }
    let scales = self.scales(lastLosses)
    let found = weigh(gram, zip(lastLosses, scales).map { $0 * $1 })
    weights = zip(found, scales).map { $0 * $1 }
    if isMeasured { note(gram, dividedBy: scales, passes: 1, seconds: nil) }
    return found.map(Float.init)
  }

  /// After the parameters are changed.
  func finish() throws {
    guard var weighting = weighting as? any LossWeighting, weighting.seesOutcome else { return }
    statistics.save()
    net.clock.pass -= 1
    try net.forward()
    statistics.restore()
    weighting.learn(outcome: tasks.map(\.loss), of: lastLosses, moment)
    self.weighting = weighting
  }

  /// Forgets the iteration.
  func undo() {
    weighting = before.weighting
    weights = before.weights
  }

  // MARK: What it tells

  /// - Parameters:
  ///   - factors: what the losses were multiplied by before their gradients were taken.
  ///   - passes: how many of them the gradients are the sum of.
  private func note(_ gram: GramMatrix, dividedBy factors: [Double], passes: Int, seconds: Double?) {
    var plain = gram
    for a in tasks.indices {
      for b in tasks.indices {
        let factor = factors[a] * factors[b] * Double(passes * passes)
        plain[a, b] = factor == 0 ? 0 : gram[a, b] / factor
      }
    }
    conflict = TaskConflict(
      iteration: moment.iteration, tasks: names, norms: tasks.indices.map { plain.norm($0) },
      cosines: tasks.indices.map { a in tasks.indices.map { plain.cosine(a, $0) } },
      milliseconds: seconds.map { 1000 * max(0, $0 - (usualBackwardSeconds ?? 0)) } ?? 0)
  }

  // MARK: Snapshots

  var saved: RunState.Tasks {
    RunState.Tasks(weighting: settings.name, names: names, weights: weights, state: weighting.state)
  }

  /// Goes on from what was remembered of these tasks and others, which are no longer there.
  func takeOver(_ saved: RunState.Tasks) {
    let places = names.compactMap { saved.names.firstIndex(of: $0) }
    guard places.count == names.count else { return }
    weights = places.map { saved.weights[$0] }
    let all = saved.names.count
    // What has a value for each task; the rest counts something.
    let own = saved.state.mapValues { values in values.count == all ? places.map { values[$0] } : values }
    if !weighting.state.isEmpty { weighting.state = own }
  }

  /// - Returns: what does not fit, where the weighting starts anew.
  func restore(_ saved: RunState.Tasks?) -> String? {
    weighting = settings.makeWeighting(tasks: names)
    weights = tasks.map { _ in 1 }
    guard let saved else { return weighting.state.isEmpty ? nil : "it has no state of the weighting" }
    guard saved.weighting == settings.name else {
      return weighting.state.isEmpty ? nil : "it was weighted by \(saved.weighting), not \(settings.name)"
    }
    guard saved.names == names else { return "its tasks are \(saved.names.joined(separator: ", "))" }
    weights = saved.weights
    if !weighting.state.isEmpty { weighting.state = saved.state }
    return nil
  }
}

/// How the gradients of the tasks stand to each other in what they share.
package struct TaskConflict: Equatable, Sendable {
  package var iteration: Int
  package var tasks: [String]
  /// The length of each task's gradient, of its losses times their loss_weight.
  package var norms: [Double]
  /// The cosines of the angles between them; nil where one is zero.
  package var cosines: [[Double?]]
  /// How much longer the iteration took because of the measurement, at the first one all of its backward passes; 0 where
  /// the weighting needs the gradients in any case.
  package var milliseconds: Double
}
