import Glibc

/// UNCERTAINTY (Kendall, Gal, Cipolla: Multi-task learning using uncertainty to weigh losses for scene geometry and
/// semantics, CVPR 2018): each task has a variance that is learned, and the objective is the sum over the tasks of
/// exp(-s) L + s, s the logarithm of the variance, as in the authors' example (yaringal/multi-task-learning-example).
///
/// The weight is exp(-s); s starts at 0. It goes down its gradient 1 - exp(-s) L and rests where the weighted loss is 1.
/// The paper trains it by the net's optimizer; here it has plain gradient descent, at the solver's learning rate unless
/// `weighting_lr` says otherwise, in steps of 1 at most, so that a large first loss does not throw it far away.
///
/// As a loss goes to 0, as that of a task that is learned by heart does, the weight of the paper grows without bound, and
/// the other tasks drown. Public reimplementations bound s itself (at 0, or within some -4 and 4), which ties the method to
/// losses of one size. Here a loss counts as `loss_floor` of the task's first loss at least: the weight rests at
/// 1 / (loss_floor x first loss) at most, whatever the loss's unit.
///
/// Even so all weights grow as the losses fall, and with them the steps of a solver whose steps are as long as the gradient
/// (the authors train by Adam, whose steps are not). So the weights that the net gets are divided by their mean, as those of
/// the other weightings are and as `UW-SO` has it (Kirchdorfer et al.: Analytical uncertainty-based loss weighting in
/// multi-task learning, 2024), unless `normalize_weights` says otherwise.
struct UncertaintyWeighting: LossWeighting {
  var state: WeightingState
  private let rate: Double?
  private let floor: Double
  private let normalizes: Bool

  /// |s| beyond which exp(s) times a loss would leave the range of a Float, with `floor` 0.
  private static let highestLogVariance = 60.0

  /// - Parameters:
  ///   - floor: a share of the first loss.
  ///   - normalizes: whether the mean of the weights is 1.
  init(tasks: Int, rate: Double?, floor: Double, normalizes: Bool) {
    state = [
      "log_variance": [Double](repeating: 0, count: tasks),
      // 0 until there was one.
      "first_loss": [Double](repeating: 0, count: tasks),
    ]
    self.rate = rate
    self.floor = floor
    self.normalizes = normalizes
  }

  private var logVariances: [Double] { state["log_variance"] ?? [] }
  private var firstLosses: [Double] { state["first_loss"] ?? logVariances.map { _ in 0 } }

  func weights(_ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    let weights = logVariances.map { exp(-$0) }
    guard normalizes else { return weights }
    let mean = weights.reduce(0, +) / Double(weights.count)
    return weights.map { $0 / mean }
  }

  mutating func learn(_ losses: [Double], _ moment: WeightingMoment) {
    let first = zip(firstLosses, losses).map { first, loss in first == 0 ? loss : first }
    state["first_loss"] = first
    state["log_variance"] = losses.indices.map { task in
      let s = logVariances[task]
      guard losses[task] != 0 else { return s }
      let loss = max(losses[task], floor * first[task])
      let next = s - min(1, max(-1, (rate ?? moment.rate) * (1 - exp(-s) * loss)))
      return min(UncertaintyWeighting.highestLogVariance, max(-UncertaintyWeighting.highestLogVariance, next))
    }
  }
}
