import Nets

/// ALIGNED (Senushkin, Patakin, Kuznetsov, Konushin: Independent component alignment for multi-task learning, CVPR 2023):
/// the gradients are replaced by the nearest ones of which none dominates or conflicts, all singular values equal to the
/// least of theirs, and these are summed.
///
/// With the eigenvalues l and eigenvectors V of the inner products, the new gradients are B times the old, B =
/// sqrt(least l) V diag(1 / sqrt(l)) V', over the eigenvalues above the largest times K times float32's precision; the
/// weights are the columns' sums of B.
struct AlignedWeighting: GradientWeighting {
  var state: WeightingState = [:]

  mutating func weights(_ gram: GramMatrix, _ losses: [Double], _ moment: WeightingMoment) -> [Double] {
    let present = gram.present
    guard present.count > 1 else { return [Double](repeating: 1, count: gram.count) }
    let balance = AlignedWeighting.balance(gram.scaled(to: present).gram)
    let sums = (0..<balance.count).map { column in (0..<balance.count).reduce(0) { $0 + balance[$1, column] } }
    return sums.spread(over: gram.count, at: present)
  }

  /// B.
  static func balance(_ gram: GramMatrix) -> GramMatrix {
    let eigen = SymmetricEigen(gram)
    let most = eigen.values.max() ?? 0
    let kept = eigen.values.indices.filter {
      eigen.values[$0] > most * Double(gram.count) * Double(Float.ulpOfOne)
    }
    let least = kept.map { eigen.values[$0] }.min() ?? 0
    var balance = GramMatrix(gram.count)
    for index in kept {
      let factor = (least / eigen.values[index]).squareRoot()
      let vector = eigen.vectors[index]
      for row in vector.indices {
        for column in vector.indices { balance[row, column] += factor * vector[row] * vector[column] }
      }
    }
    return balance
  }
}
