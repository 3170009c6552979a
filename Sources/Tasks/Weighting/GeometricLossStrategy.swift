import Glibc

/// GLS (Chennupati, Sistu, Yogamani, Rawashdeh: MultiNet++, CVPR workshops 2019): the objective is the geometric mean of
/// the losses, here times their number K. Its gradient has the weights geometric mean / L.
///
/// Losses must be above 0; a task whose loss is not takes no part, and its weight is 1.
struct GeometricLossStrategy: LossWeighting {
  var state: WeightingState = [:]

  func weights(_ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    let present = losses.filter { $0 > 0 }
    let mean = exp(present.reduce(0) { $0 + log($1) } / Double(max(1, present.count)))
    return losses.map { $0 > 0 ? mean / $0 : 1 }
  }
}
