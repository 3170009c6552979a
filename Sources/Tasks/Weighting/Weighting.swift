import Glibc
import Nets
import Tensors

/// How the tasks of a net are weighted against each other: a number for each task in each iteration.
///
/// A task's loss is the sum over its losses of loss_weight times value, and the weight multiplies that. Weights are
/// scaled so that tasks which are alike all get 1, which is what FIXED gives: then base_lr keeps its meaning from one
/// weighting to the next. A task whose loss is 0 takes no part in an iteration: nothing in the batch is labelled for it.
package protocol Weighting: Sendable {
  /// What is remembered from one iteration to the next, by name: a value for each task, or a count. It is written into
  /// snapshots and logged.
  var state: WeightingState { get set }
}

package typealias WeightingState = [String: [Double]]

/// A weighting that looks at losses alone. Its weights count for every parameter.
package protocol LossWeighting: Weighting {
  /// Whether it is told what has become of a batch's losses once the parameters are changed, for which the batch is run
  /// forward once more.
  var seesOutcome: Bool { get }

  /// The weights for the backward pass of a batch with these losses.
  func weights(_ losses: [Double], _ moment: WeightingMoment) -> [Double]

  /// Is told the mean losses of an iteration, before the parameters are changed.
  mutating func learn(_ losses: [Double], _ moment: WeightingMoment)

  /// Is told the losses of an iteration's last batch before and after the parameters are changed.
  mutating func learn(outcome: [Double], of losses: [Double], _ moment: WeightingMoment)
}

extension LossWeighting {
  package var seesOutcome: Bool { false }
  package mutating func learn(_ losses: [Double], _ moment: WeightingMoment) {}
  package mutating func learn(outcome: [Double], of losses: [Double], _ moment: WeightingMoment) {}
}

/// A weighting that looks at the gradients of the tasks in what they share, through their inner products. Its weights
/// count there; a task's own layers learn from its loss as it is.
package protocol GradientWeighting: Weighting {
  /// What each loss is multiplied by before its gradient is taken, everywhere: 1 unless a method scales losses too.
  func scales(_ losses: [Double], _ moment: WeightingMoment) -> [Double]

  /// The weights for gradients with these inner products. `gram` and `losses` are of the losses as they are scaled.
  mutating func weights(_ gram: GramMatrix, _ losses: [Double], _ moment: WeightingMoment) -> [Double]
}

extension GradientWeighting {
  package func scales(_ losses: [Double], _ moment: WeightingMoment) -> [Double] { losses.map { _ in 1 } }
}

/// Where training stands.
package struct WeightingMoment: Sendable {
  /// From 0.
  package var iteration: Int
  /// The solver's learning rate.
  package var rate: Double
  /// Iterations in a round over the training records.
  package var roundIterations: Int
  package var seed: UInt64

  package init(iteration: Int, rate: Double, roundIterations: Int, seed: UInt64) {
    self.iteration = iteration
    self.rate = rate
    self.roundIterations = roundIterations
    self.seed = seed
  }
}

/// exp(x) / sum exp(x).
func softmax(_ values: [Double]) -> [Double] {
  let most = values.max() ?? 0
  let powers = values.map { exp($0 - most) }
  let sum = powers.reduce(0, +)
  return powers.map { $0 / sum }
}

extension [Double] {
  /// Scaled so that those of `tasks` have the mean 1; the others are 1.
  func withMeanOne(of tasks: [Int]) -> [Double] {
    let sum = tasks.reduce(0) { $0 + self[$1] }
    guard sum > 0, sum.isFinite else { return map { _ in 1 } }
    var scaled = map { _ in 1.0 }
    for task in tasks { scaled[task] = self[task] * Double(tasks.count) / sum }
    return scaled
  }

  /// Of n values for some tasks, those of all tasks; 1 for the others.
  func spread(over count: Int, at tasks: [Int]) -> [Double] {
    var all = [Double](repeating: 1, count: count)
    for (value, task) in zip(self, tasks) { all[task] = value }
    return all
  }
}

extension GramMatrix {
  /// The tasks whose gradient is not zero.
  var present: [Int] { (0..<count).filter { self[$0, $0] > 0 } }

  /// Of some tasks, divided by the mean of its diagonal, so that equations have about the scale 1, and that mean.
  func scaled(to tasks: [Int]) -> (gram: GramMatrix, scale: Double) {
    let scale = tasks.reduce(0) { $0 + self[$1, $1] } / Double(tasks.count)
    var part = GramMatrix(tasks.count)
    for (row, a) in tasks.enumerated() {
      for (column, b) in tasks.enumerated() { part[row, column] = self[a, b] / scale }
    }
    return (part, scale)
  }

  func times(_ vector: [Double]) -> [Double] {
    values.withUnsafeBufferPointer { matrix in
      vector.withUnsafeBufferPointer { vector in
        (0..<count).map { row in
          var sum = 0.0
          for column in 0..<count { sum += matrix[row * count + column] * vector[column] }
          return sum
        }
      }
    }
  }
}
