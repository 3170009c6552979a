import Glibc

/// STCH (Lin, Zhang, Yang, Liu, Wang, Zhang: Smooth Tchebycheff scalarization for multi-objective optimization, ICML
/// 2024), as its authors train nets (Xi-L/STCH): a smooth maximum of the logarithms of the losses relative to a scale of
/// each task n, mu log sum exp(log(L / n) / mu). Its gradient has the weights softmax(log(L / n) / mu) / L, here scaled to
/// the mean 1, since 1 / L would let steps grow without bound as losses vanish.
///
/// Through four periods the sum of the logarithms is trained, weights 1 / L; n is the mean loss of the fifth. A period is
/// a round over the records unless `scale_iter` says otherwise; they are counted from the iteration at which the weighting
/// begins, which is not 0 in a run that goes on with another one. Losses must be above 0; a task whose loss is not takes
/// no part.
struct SmoothChebyshevWeighting: LossWeighting {
  var state: WeightingState
  private let smoothness: Double
  /// nil for a round over the records.
  private let period: Int?

  init(tasks: Int, smoothness: Double, period: Int?) {
    let zeros = [Double](repeating: 0, count: tasks)
    // No iteration yet.
    state = ["sum": zeros, "count": zeros, "start": []]
    self.smoothness = smoothness
    self.period = period
  }

  private func number(_ moment: WeightingMoment) -> Int {
    let start = state["start"].map { $0.first.map { Int($0) } ?? moment.iteration } ?? 0
    return (moment.iteration - start) / max(1, period ?? moment.roundIterations)
  }

  func weights(_ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    let present = losses.indices.filter { losses[$0] > 0 }
    var shares = losses.map { _ in 1.0 }
    if number(moment) > 4, let sum = state["sum"], let count = state["count"] {
      let scaled = present.map { task in
        log(count[task] > 0 ? losses[task] * count[task] / sum[task] : losses[task]) / smoothness
      }
      shares = softmax(scaled).spread(over: losses.count, at: present)
    }
    return zip(shares, losses).map { $1 > 0 ? $0 / $1 : 1 }.withMeanOne(of: present)
  }

  mutating func learn(_ losses: [Double], _ moment: WeightingMoment) {
    if state["start"]?.isEmpty ?? false { state["start"] = [Double(moment.iteration)] }
    guard number(moment) == 4, var sum = state["sum"], var count = state["count"] else { return }
    for (task, loss) in losses.enumerated() where loss > 0 {
      sum[task] += loss
      count[task] += 1
    }
    (state["sum"], state["count"]) = (sum, count)
  }
}
