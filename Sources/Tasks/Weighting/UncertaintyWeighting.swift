import Glibc

/// UNCERTAINTY (Kendall, Gal, Cipolla: Multi-task learning using uncertainty to weigh losses for scene geometry and
/// semantics, CVPR 2018): each task has a variance that is learned, and the objective is the sum over the tasks of
/// exp(-s) L + s, s the logarithm of the variance, as in the authors' example (yaringal/multi-task-learning-example).
///
/// The weight is exp(-s); s starts at 0. It goes down its gradient 1 - exp(-s) L and rests where the weighted loss is 1.
/// The paper trains it by the net's optimizer; here it has plain gradient descent, at the solver's learning rate unless
/// `weighting_lr` says otherwise, in steps of 1 at most, so that a large first loss does not throw it far away.
struct UncertaintyWeighting: LossWeighting {
  var state: WeightingState
  private let rate: Double?

  init(tasks: Int, rate: Double?) {
    state = ["log_variance": [Double](repeating: 0, count: tasks)]
    self.rate = rate
  }

  private var logVariances: [Double] { state["log_variance"] ?? [] }

  func weights(_ losses: [Double], _ moment: WeightingMoment) -> [Double] { logVariances.map { exp(-$0) } }

  mutating func learn(_ losses: [Double], _ moment: WeightingMoment) {
    state["log_variance"] = zip(logVariances, losses).map { s, loss in
      guard loss != 0 else { return s }
      return s - min(1, max(-1, (rate ?? moment.rate) * (1 - exp(-s) * loss)))
    }
  }
}
