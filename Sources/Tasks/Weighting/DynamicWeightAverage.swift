/// DWA (Liu, Johns, Davison: End-to-end multi-task learning with attention, CVPR 2019): tasks whose loss falls slowly
/// count more. With L(t) the mean loss over period t, r = L(t - 1) / L(t - 2) and K tasks, the weights are
/// K softmax(r / T); 1 in the first two periods. In the paper a period is an epoch and the temperature T is 2.
struct DynamicWeightAverage: LossWeighting {
  var state: WeightingState
  private let temperature: Double
  /// nil for a round over the records.
  private let period: Int?

  init(tasks: Int, temperature: Double, period: Int?) {
    let zeros = [Double](repeating: 0, count: tasks)
    state = ["sum": zeros, "count": zeros, "last": zeros, "before_last": zeros]
    self.temperature = temperature
    self.period = period
  }

  func weights(_ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    guard let last = state["last"], let before = state["before_last"], before.contains(where: { $0 != 0 }) else {
      return losses.map { _ in 1 }
    }
    // A task that had no label in one of the periods neither rose nor fell.
    let ratios = zip(last, before).map { $1 == 0 || $0 == 0 ? 1 : $0 / $1 }
    return softmax(ratios.map { $0 / temperature }).map { $0 * Double(losses.count) }
  }

  mutating func learn(_ losses: [Double], _ moment: WeightingMoment) {
    guard var sum = state["sum"], var count = state["count"], let last = state["last"] else { return }
    for (task, loss) in losses.enumerated() where loss != 0 {
      sum[task] += loss
      count[task] += 1
    }
    if (moment.iteration + 1) % max(1, period ?? moment.roundIterations) == 0 {
      state["before_last"] = last
      state["last"] = zip(zip(sum, count), last).map { $0.1 > 0 ? $0.0 / $0.1 : $1 }
      sum = sum.map { _ in 0 }
      count = sum
    }
    state["sum"] = sum
    state["count"] = count
  }
}
