import Glibc

/// FAMO (Liu, Feng, Stone, Liu: FAMO: Fast adaptive multitask optimization, NeurIPS 2023): all losses are to fall at the
/// same relative rate, without a gradient of each task.
///
/// With z = softmax(x), x the logits, the weights are z / L, here scaled to the mean 1. Once the parameters are changed,
/// the same batch is run forward again; with d = log L before - log L after, x goes down the gradient of z times d, by
/// Adam with the rate `weighting_lr` and L2 decay `weighting_decay`. Losses must be above 0; a task whose loss is not
/// takes no part.
struct FastAdaptiveWeighting: LossWeighting {
  var state: WeightingState
  let seesOutcome = true
  private let rate: Double
  private let decay: Double

  init(tasks: Int, rate: Double, decay: Double) {
    let zeros = [Double](repeating: 0, count: tasks)
    state = ["logit": zeros, "mean": zeros, "square": zeros, "steps": [0]]
    self.rate = rate
    self.decay = decay
  }

  func weights(_ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    let z = softmax(state["logit"] ?? [])
    let present = losses.indices.filter { losses[$0] > 0 }
    return zip(z, losses).map { $1 > 0 ? $0 / $1 : 1 }.withMeanOne(of: present)
  }

  mutating func learn(outcome: [Double], of losses: [Double], _ moment: WeightingMoment) {
    guard var logits = state["logit"], var mean = state["mean"], var square = state["square"] else { return }
    let change = zip(losses, outcome).map { $0 > 0 && $1 > 0 ? log($0) - log($1) : 0 }
    let present = losses.indices.filter { losses[$0] > 0 && outcome[$0] > 0 }
    guard !present.isEmpty, change.allSatisfy(\.isFinite) else { return }
    let z = softmax(logits)
    // Over the tasks that take part.
    let sum = present.reduce(0) { $0 + z[$1] }
    let average = present.reduce(0) { $0 + z[$1] * change[$1] } / sum
    let steps = (state["steps"]?.first ?? 0) + 1
    for task in present {
      let gradient = z[task] * (change[task] - average) + decay * logits[task]
      mean[task] = 0.9 * mean[task] + 0.1 * gradient
      square[task] = 0.999 * square[task] + 0.001 * gradient * gradient
      let step = mean[task] / (1 - pow(0.9, steps)) / ((square[task] / (1 - pow(0.999, steps))).squareRoot() + 1e-8)
      logits[task] -= rate * step
    }
    state = ["logit": logits, "mean": mean, "square": square, "steps": [steps]]
  }
}
