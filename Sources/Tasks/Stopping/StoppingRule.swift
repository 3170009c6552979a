/// When a task stops by itself: task-wise early stopping (Zhang, Luo, Loy, Tang: Facial landmark detection by deep
/// multi-task learning, ECCV 2014), made steady.
///
/// With E the training losses of the last k iterations, V the validation loss and w the task's loss weight, the paper
/// stops a task when
/// ```
/// k med(E) / (sum(E) - k med(E))  x  (V - min V) / (w min V)  >  threshold
/// ```
/// The first factor, the tendency, is large where the training loss no longer falls, the second where the validation loss
/// has risen above its best. As it stands the tendency jumps to infinity and below zero with the noise of single batches:
/// over 50 of them mean and median of a loss that stands still differ by some per cent, either way. Here a mean within
/// 10 % of the median counts as standing still, so the tendency is at most 10, and what decides then is how far the
/// validation loss has risen: a task that has converged, with a training loss near 0 and a validation loss a little above
/// its best, stays below the threshold. V is the mean over the last tests, and the value must be above the threshold at
/// several tests in a row, once a number of iterations is done.
package struct StoppingRule: Sendable, Equatable {
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

  static let highestTendency: Float = 10

  package init(
    window: Int, smoothing: Int, tests: Int, minIterations: Int, threshold: Float, thresholds: [String: Float],
    testNet: Int
  ) {
    self.window = window
    self.smoothing = smoothing
    self.tests = tests
    self.minIterations = minIterations
    self.threshold = threshold
    self.thresholds = thresholds
    self.testNet = testNet
  }

  package func threshold(ofTask name: String) -> Float { thresholds[name] ?? threshold }
}

/// What the rule remembers of a task, and since when the task is out.
package struct StoppingState: Codable, Sendable, Equatable {
  /// The newest, oldest first.
  var trainingLosses: [Float] = []
  var validationLosses: [Float] = []
  /// The lowest smoothed validation loss so far.
  var lowest: Float?
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
    let value = tendency * (smoothed - lowest) / (weight * lowest)
    self.value = value
    testsAbove = threshold > 0 && value > threshold ? testsAbove + 1 : 0
    guard testsAbove >= rule.tests, iteration >= rule.minIterations else { return false }
    stoppedAt = iteration
    return true
  }

  /// k med(E) / (sum(E) - k med(E)), within 0 and `highestTendency`.
  private var tendency: Float {
    let sorted = trainingLosses.sorted()
    let middle = sorted.count / 2
    let median = sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    guard median > 0 else { return StoppingRule.highestTendency }
    let excess = trainingLosses.reduce(0, +) / Float(trainingLosses.count) / median - 1
    return 1 / max(excess, 1 / StoppingRule.highestTendency)
  }
}
