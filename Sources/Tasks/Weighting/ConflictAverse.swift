import Nets

/// CAGRAD (Liu, Liu, Jin, Stone, Liu: Conflict-averse gradient descent for multi-task learning, NeurIPS 2021): of all steps
/// within c |g0| of the mean gradient g0, the one that helps most the task that it helps least.
///
/// It is d = g0 + c |g0| g_w / |g_w|, g_w = sum w_i g_i, w the minimum of g_w g0 + c |g0| |g_w| on the simplex. As in the
/// authors' code it is divided by 1 + c^2; here it is times K. c is `conflict_radius`.
struct ConflictAverse: GradientWeighting {
  var state: WeightingState = [:]
  private let radius: Double

  init(radius: Double) { self.radius = radius }

  mutating func weights(_ gram: GramMatrix, _ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    let present = gram.present
    guard present.count > 1 else { return [Double](repeating: 1, count: gram.count) }
    let part = gram.scaled(to: present).gram
    return weights(part).spread(over: gram.count, at: present)
  }

  private func weights(_ gram: GramMatrix) -> [Double] {
    let count = Double(gram.count)
    let mean = [Double](repeating: 1 / count, count: gram.count)
    let products = gram.times(mean)
    let bound = radius * max(0, products.reduce(0, +) / count).squareRoot()
    let w = SimplexMinimum.find(gram.count) { w in
      let image = gram.times(w)
      let norm = (max(0, zip(w, image).reduce(0) { $0 + $1.0 * $1.1 }) + 1e-12).squareRoot()
      let value = zip(w, products).reduce(0) { $0 + $1.0 * $1.1 } + bound * norm
      return (value, zip(products, image).map { $0 + bound * $1 / norm })
    }
    let norm = max(0, zip(w, gram.times(w)).reduce(0) { $0 + $1.0 * $1.1 }).squareRoot()
    let share = norm > 1e-6 ? bound / norm : 0
    return w.map { (1 + count * share * $0) / (1 + radius * radius) }
  }
}
