import Glibc
import Nets

/// GRADNORM (Chen, Badrinarayanan, Lee, Rabinovich: GradNorm, ICML 2018): the weighted gradients are to have norms that
/// suit how fast the tasks learn.
///
/// With G_i = w_i |g_i|, r_i = (L_i / L_i at the start) over its mean, the weights go down the gradient of
/// sum |G_i - mean(G) r_i^alpha|, mean(G) r_i^alpha taken as constant, and are then scaled to the sum K. Here that
/// gradient is divided by the mean of |g|, so that `weighting_lr` does not depend on the scale of the losses, and a weight
/// stays above 0.001.
struct GradientNormalization: GradientWeighting {
  var state: WeightingState
  private let asymmetry: Double
  private let rate: Double

  init(tasks: Int, asymmetry: Double, rate: Double) {
    state = [
      "weight": [Double](repeating: 1, count: tasks), "first_loss": [Double](repeating: 0, count: tasks),
    ]
    self.asymmetry = asymmetry
    self.rate = rate
  }

  mutating func weights(_ gram: GramMatrix, _ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    guard let last = state["weight"], var first = state["first_loss"] else { return losses.map { _ in 1 } }
    // Once a task has stopped, the others have the sum K again.
    let weights = last.withMeanOne(of: Array(losses.indices))
    for task in losses.indices where first[task] == 0 { first[task] = losses[task] }
    state["first_loss"] = first
    let present = gram.present.filter { losses[$0] != 0 }
    guard present.count > 1 else { return weights }
    func mean(_ value: (Int) -> Double) -> Double { present.reduce(0) { $0 + value($1) } / Double(present.count) }
    let norm = mean { weights[$0] * gram.norm($0) }
    let size = mean { gram.norm($0) }
    let progress = mean { losses[$0] / first[$0] }
    var next = weights
    for task in present {
      let relative = losses[task] / first[task] / progress
      let difference = weights[task] * gram.norm(task) - norm * pow(max(0, relative), asymmetry)
      // Not the sign of a rounding error.
      let sign: Double = difference > 1e-9 * norm ? 1 : difference < -1e-9 * norm ? -1 : 0
      next[task] = max(1e-3, weights[task] - rate * sign * gram.norm(task) / size)
    }
    // The tasks that take part share what they had.
    let before = present.reduce(0) { $0 + weights[$1] }
    let after = present.reduce(0) { $0 + next[$1] }
    for task in present { next[task] *= before / after }
    state["weight"] = next
    return next
  }
}
