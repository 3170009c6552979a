import Nets

/// UPGRAD (Quinton, Rey: Jacobian descent for multi-objective optimization, 2024): each gradient is projected onto the
/// directions that conflict with none, and the projections are summed. The step has no negative inner product with any
/// task's gradient.
///
/// The projection of g_i is the combination v of the gradients with the smallest v G v under v >= e_i (proposition 1):
/// v = e_i + x, x the nonnegative minimum of x G x / 2 + x G e_i. A ridge of 1e-8 of the mean square norm makes it unique.
struct UnconflictingProjection: GradientWeighting {
  var state: WeightingState = [:]

  mutating func weights(_ gram: GramMatrix, _ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    let present = gram.present
    guard present.count > 1 else { return [Double](repeating: 1, count: gram.count) }
    var part = gram.scaled(to: present).gram
    for index in present.indices { part[index, index] += 1e-8 }
    var sums = [Double](repeating: 1, count: present.count)
    for task in present.indices {
      let x = nonnegativeMinimum(part, present.indices.map { -part[$0, task] })
      for index in x.indices { sums[index] += x[index] }
    }
    return sums.spread(over: gram.count, at: present)
  }
}
