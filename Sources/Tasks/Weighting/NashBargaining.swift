import Nets

/// NASH (Navon, Shamsian, Achituve, Maron, Kawaguchi, Chechik, Fetaya: Multi-task learning as a bargaining game, ICML
/// 2022): the step that the tasks agree on. Its weights a > 0 solve G a = 1 / a, G the inner products.
///
/// They are the minimum of the convex a G a / 2 - sum log a_i, which Newton's method finds. As the authors do, G is scaled
/// first (there by its norm, here by the mean of its diagonal), so that the step has the size of a gradient; the bound
/// which they set on its norm is `clip_gradients` of the solver. With `solve_interval` n the problem is solved anew every n
/// iterations.
struct NashBargaining: GradientWeighting {
  var state: WeightingState
  private let interval: Int

  init(interval: Int) {
    state = ["weight": []]
    self.interval = interval
  }

  mutating func weights(_ gram: GramMatrix, _ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    guard gram.count > 1 else { return [1] }
    if let last = state["weight"], last.count == gram.count, moment.iteration % interval != 0 { return last }
    let present = gram.present
    var weights =
      state["weight"]?.count == gram.count ? state["weight"] ?? [] : [Double](repeating: 1, count: gram.count)
    if present.count > 1 {
      let solution = NashBargaining.solve(gram.scaled(to: present).gram)
      for (task, weight) in zip(present, solution) { weights[task] = weight }
    } else if let task = present.first {
      // It has nobody to bargain with, and what was agreed for other gradients may be far from this one.
      weights[task] = 1
    }
    state["weight"] = weights
    return weights
  }

  /// Gradients that oppose each other have no bargain: a small ridge bounds their weights then.
  static func solve(_ gram: GramMatrix) -> [Double] {
    var matrix = gram
    for index in 0..<gram.count { matrix[index, index] += 1e-6 }
    var a = (0..<gram.count).map { 1 / matrix[$0, $0].squareRoot() }
    for _ in 0..<500 {
      let image = matrix.times(a)
      let gradient = zip(image, a).map { $0 - 1 / $1 }
      // How far each equation is from being met, relative to its side.
      if zip(gradient, a).allSatisfy({ abs($0 * $1) < 1e-12 }) { break }
      var hessian = matrix
      for index in a.indices { hessian[index, index] += 1 / (a[index] * a[index]) }
      let step = Cholesky(hessian).solve(gradient)
      // Of a self-concordant function: this length keeps a above 0 and always goes down.
      let decrement = max(0, zip(step, gradient).reduce(0) { $0 + $1.0 * $1.1 }).squareRoot()
      let length = decrement < 0.25 ? 1 : 1 / (1 + decrement)
      for index in a.indices { a[index] -= length * step[index] }
    }
    return a
  }
}
