import Nets

/// MGDA (Sener, Koltun: Multi-task learning as multi-objective optimization, NeurIPS 2018; Desideri 2012): the step is the
/// shortest of all mixtures of the gradients, sum w_i g_i with w_i >= 0 and sum w_i = 1; here times K. No task is worse off
/// to first order, and where it is 0, none can be made better without making another worse.
///
/// The smallest x G x + (sum x - 1)^2 with x >= 0 has the direction of w: for a given direction the best length leaves a
/// value that grows with w G w. That is a problem of nonnegative least squares. A ridge of 1e-9 of the mean square norm
/// divides the weight equally among gradients that are the same.
struct MinimumNorm: GradientWeighting {
  var state: WeightingState = [:]

  mutating func weights(_ gram: GramMatrix, _ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    let present = gram.present
    guard present.count > 1 else { return [Double](repeating: 1, count: gram.count) }
    var matrix = gram.scaled(to: present).gram
    for row in 0..<matrix.count {
      for column in 0..<matrix.count { matrix[row, column] += row == column ? 1 + 1e-9 : 1 }
    }
    let x = nonnegativeMinimum(matrix, present.map { _ in 1 })
    return x.spread(over: gram.count, at: present).withMeanOne(of: present)
  }
}
