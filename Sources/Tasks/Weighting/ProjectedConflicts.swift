import Nets
import Tensors

/// PCGRAD (Yu, Kumar, Gupta, Levine, Hausman, Finn: Gradient surgery for multi-task learning, NeurIPS 2020): from each
/// task's gradient is taken away, task by task in a random order, its part against another's gradient; what is left is
/// summed.
///
/// Each projected gradient is a combination c of the gradients, so the whole is computed in the inner products G: when
/// (G c)_j is below 0, c_j loses (G c)_j / G_jj. The order is a function of seed, iteration and task.
struct ProjectedConflicts: GradientWeighting {
  var state: WeightingState = [:]

  mutating func weights(_ gram: GramMatrix, _ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    var weights = [Double](repeating: 0, count: gram.count)
    for task in 0..<gram.count {
      var parts = weights.map { _ in 0.0 }
      parts[task] = 1
      let stream = RandomStream(
        seed: moment.seed, RandomStream.part("conflicts of task \(task)"), UInt64(moment.iteration))
      for other in stream.permutation(gram.count) where other != task && gram[other, other] > 0 {
        let product = (0..<gram.count).reduce(0) { $0 + parts[$1] * gram[$1, other] }
        if product < 0 { parts[other] -= product / gram[other, other] }
      }
      for index in parts.indices { weights[index] += parts[index] }
    }
    return weights
  }
}
