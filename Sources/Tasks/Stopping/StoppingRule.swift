/// When a task stops by itself: task-wise early stopping (Zhang, Luo, Loy, Tang: Facial landmark detection by deep
/// multi-task learning, ECCV 2014), and the same made steady.
///
/// With E the training losses of the last k iterations, V the validation loss and w the task's loss weight, the paper
/// stops a task when
/// ```
/// k med(E) / (sum(E) - k med(E))  x  (V - min V) / (w min V)  >  threshold
/// ```
/// The first factor, the tendency, is large where the training loss no longer falls, the second where the validation loss
/// has risen above its best. As it stands (`.paper`) the tendency jumps to infinity and below zero with the noise of single
/// batches: over 50 of them mean and median of a loss that stands still differ by some per cent, either way. And a task
/// with a small weight, as one whose loss is in other units has, is at once beyond every threshold.
///
/// `.relative` bounds the tendency: a mean within 10 % of the median counts as standing still, so it is at most 10, and what
/// decides then is how far the validation loss has risen. A task that has converged, with a training loss near 0 and a
/// validation loss a little above its best, stays below the threshold. And it leaves the weight out: the rise is a share of
/// the loss already, whatever the loss's unit.
///
/// In both, V is the mean over the last tests, and the value must be above the threshold at several tests in a row, once a
/// number of iterations is done.
package struct StoppingRule: Sendable, Equatable {
  package enum Measure: Sendable {
    case relative
    case paper
  }

  package var measure: Measure
  /// k: training iterations.
  package var window: Int
  /// Tests that the validation loss is the mean of.
  package var smoothing: Int
  /// Tests in a row at which the value must be above the threshold.
  package var tests: Int
  /// Iterations before which no task stops.
  package var minIterations: Int
  /// For tasks without one of their own; 0 for never.
  package var threshold: Float
  /// By task.
  package var thresholds: [String: Float]
  /// The test net whose losses count as validation.
  package var testNet: Int

  private static let highestTendency: Float = 10

  package init(
    measure: Measure, window: Int, smoothing: Int, tests: Int, minIterations: Int, threshold: Float,
    thresholds: [String: Float], testNet: Int
  ) {
    self.measure = measure
    self.window = window
    self.smoothing = smoothing
    self.tests = tests
    self.minIterations = minIterations
    self.threshold = threshold
    self.thresholds = thresholds
    self.testNet = testNet
  }

  package func threshold(ofTask name: String) -> Float { thresholds[name] ?? threshold }

  /// - Parameters:
  ///   - losses: of training, a whole window.
  ///   - rise: of the validation loss above its best, as a share of its best.
  ///   - weight: the task's loss weight.
  func value(_ losses: [Float], rise: Float, weight: Float) -> Float {
    let sorted = losses.sorted()
    let middle = sorted.count / 2
    let median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    // The tendency is its reciprocal.
    let excess = median > 0 ? losses.reduce(0, +) / Float(losses.count) / median - 1 : 0
    switch measure {
    case .relative: return rise / max(excess, 1 / StoppingRule.highestTendency)
    case .paper:
      // A loss that stands still exactly, and has not risen.
      return rise == 0 ? 0 : rise / (excess * weight)
    }
  }
}

/// What the rule remembers of a task, and since when the task is out.
package struct StoppingState: Codable, Sendable, Equatable {
  /// The newest, oldest first.
  var trainingLosses: [Float] = []
  var validationLosses: [Float] = []
  /// The lowest smoothed validation loss so far.
  var lowest: Float?
  /// The lowest validation loss of a single test.
  var best: Float?
  /// Tests in a row with a value above the threshold.
  var testsAbove = 0
  /// The iteration at which the task stopped.
  package internal(set) var stoppedAt: Int?
  /// The rule's value at the newest test, as soon as there is one.
  package internal(set) var value: Float?

  package init() {}

  /// Adds the loss of a training iteration.
  package mutating func add(trainingLoss loss: Float, _ rule: StoppingRule) {
    guard loss.isFinite else { return }
    trainingLosses.append(loss)
    trainingLosses.removeFirst(max(0, trainingLosses.count - rule.window))
  }

  /// Whether a validation loss is the lowest so far, which it is from then on.
  package mutating func isBest(validationLoss loss: Float) -> Bool {
    guard loss.isFinite, stoppedAt == nil, best.map({ loss < $0 }) ?? true else { return false }
    best = loss
    return true
  }

  /// Adds the validation loss of a test, and sees whether the task stops now.
  ///
  /// - Parameter weight: the task's loss weight.
  package mutating func add(
    validationLoss loss: Float, weight: Float, threshold: Float, iteration: Int, _ rule: StoppingRule
  ) -> Bool {
    guard loss.isFinite, stoppedAt == nil else { return false }
    validationLosses.append(loss)
    validationLosses.removeFirst(max(0, validationLosses.count - rule.smoothing))
    let smoothed = validationLosses.reduce(0, +) / Float(validationLosses.count)
    // The mean over fewer tests than asked for would often be the lowest by chance.
    guard validationLosses.count == rule.smoothing else { return false }
    let lowest = min(self.lowest ?? smoothed, smoothed)
    self.lowest = lowest
    guard trainingLosses.count == rule.window, lowest > 0, weight > 0 else { return false }
    let value = rule.value(trainingLosses, rise: (smoothed - lowest) / lowest, weight: weight)
    // RunState's JSON has no infinity.
    self.value = min(max(value, -Float.greatestFiniteMagnitude), Float.greatestFiniteMagnitude)
    testsAbove = threshold > 0 && value > threshold ? testsAbove + 1 : 0
    guard testsAbove >= rule.tests, iteration >= rule.minIterations else { return false }
    stoppedAt = iteration
    return true
  }
}
