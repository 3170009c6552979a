import Glibc
import Nets

/// IMTL (Liu, Li, Kuang, Xue, Chen, Yang, Liao, Zhang: Towards impartial multi-task learning, ICLR 2021): losses are scaled
/// to the same size, and the sum of the gradients has the same projection on each of them.
///
/// Losses (IMTL-L): each is multiplied by exp(s), and s goes down the gradient of exp(s) L - s, as UNCERTAINTY's does.
/// Gradients (IMTL-G): with g = sum a_i g_i and sum a_i = 1, g g_i / |g_i| is the same for all i. In the inner products G
/// that is G a = c |g|, so a is the (pseudo-)inverse of G times the norms, scaled to the sum 1; here times K. A weight may
/// be below 0. Gradients that oppose each other exactly have no such sum and get equal weights.
struct ImpartialWeighting: GradientWeighting {
  var state: WeightingState
  private let rate: Double?

  init(tasks: Int, rate: Double?) {
    state = ["log_scale": [Double](repeating: 0, count: tasks)]
    self.rate = rate
  }

  func scales(_ losses: [Double], _ moment: WeightingMoment) -> [Double] { (state["log_scale"] ?? []).map { exp($0) } }

  mutating func weights(_ gram: GramMatrix, _ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    state["log_scale"] = zip(state["log_scale"] ?? [], losses).map { s, loss in
      loss == 0 ? s : s - min(1, max(-1, (rate ?? moment.rate) * (loss - 1)))
    }
    return ImpartialWeighting.weights(gram)
  }

  static func weights(_ gram: GramMatrix) -> [Double] {
    let present = gram.present
    guard present.count > 1 else { return [Double](repeating: 1, count: gram.count) }
    // Of unit vectors: with a_i = b_i / |g_i|, the cosines times b are equal.
    var cosines = GramMatrix(present.count)
    for (row, a) in present.enumerated() {
      for (column, b) in present.enumerated() { cosines[row, column] = gram.cosine(a, b) ?? 0 }
    }
    let b = SymmetricEigen(cosines).pseudoInverse(times: present.map { _ in 1 }, tolerance: 1e-7)
    let raw = zip(b, present).map { $0 / gram.norm($1) }
    let sum = raw.reduce(0, +)
    let size = raw.reduce(0) { $0 + abs($1) }
    guard abs(sum) > 1e-6 * size else { return [Double](repeating: 1, count: gram.count) }
    return raw.map { $0 * Double(present.count) / sum }.spread(over: gram.count, at: present)
  }
}
