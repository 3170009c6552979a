import Glibc
import Tensors

/// RLW (Lin, Ye, Zhang, Tsang: Reasonable effectiveness of random weighting, TMLR 2022): weights drawn anew in each
/// iteration, K softmax(z) with z normal. The draw is a function of seed and iteration.
struct RandomWeighting: LossWeighting {
  var state: WeightingState = [:]

  func weights(_ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    let stream = RandomStream(seed: moment.seed, RandomStream.part("task weights"), UInt64(moment.iteration))
    let normal = losses.indices.map { task in
      // Box and Muller.
      let radius = (-2 * log(1 - stream.uniformDouble(2 * task))).squareRoot()
      return radius * cos(2 * .pi * stream.uniformDouble(2 * task + 1))
    }
    return softmax(normal).map { $0 * Double(losses.count) }
  }
}
