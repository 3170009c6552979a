import Nets

/// The factor L of a symmetric positive definite matrix A = L L', for systems with as many unknowns as there are tasks.
struct Cholesky {
  private let factor: GramMatrix

  /// What is not quite positive for want of precision is taken as a small positive number.
  init(_ matrix: GramMatrix) {
    var factor = matrix
    let count = matrix.count
    let least = 1e-14 * max((0..<count).map { matrix[$0, $0] }.max() ?? 1, 1e-300)
    for column in 0..<count {
      for row in column..<count {
        var sum = matrix[row, column]
        for k in 0..<column { sum -= factor[row, k] * factor[column, k] }
        factor[row, column] = row == column ? max(sum, least).squareRoot() : sum / factor[column, column]
      }
    }
    self.factor = factor
  }

  func solve(_ right: [Double]) -> [Double] {
    var x = right
    for row in x.indices {
      for k in 0..<row { x[row] -= factor[row, k] * x[k] }
      x[row] /= factor[row, row]
    }
    for row in x.indices.reversed() {
      for k in (row + 1)..<x.count { x[row] -= factor[k, row] * x[k] }
      x[row] /= factor[row, row]
    }
    return x
  }
}

/// The x >= 0 with the smallest x A x / 2 - f x, A symmetric and positive (semi-)definite, by the method of active sets
/// of Lawson and Hanson (Solving least squares problems, 1974, chapter 23).
func nonnegativeMinimum(_ matrix: GramMatrix, _ f: [Double]) -> [Double] {
  let count = matrix.count
  var x = [Double](repeating: 0, count: count)
  var isFree = [Bool](repeating: false, count: count)
  let tolerance = 1e-12 * max(f.map(abs).max() ?? 0, 1e-300)
  /// How far on the way from x to z, which is not above 0, 0 lies.
  func ratio(_ x: Double, _ z: Double) -> Double { x <= 0 ? 0 : x / (x - z) }
  func solution() -> [Double] {
    let free = (0..<count).filter { isFree[$0] }
    var part = GramMatrix(free.count)
    for (row, a) in free.enumerated() {
      for (column, b) in free.enumerated() { part[row, column] = matrix[a, b] }
    }
    var all = [Double](repeating: 0, count: count)
    for (value, index) in zip(Cholesky(part).solve(free.map { f[$0] }), free) { all[index] = value }
    return all
  }
  for _ in 0..<(10 * count + 10) {
    let pull = zip(f, matrix.times(x)).map { $0 - $1 }
    guard let next = (0..<count).filter({ !isFree[$0] && pull[$0] > tolerance }).max(by: { pull[$0] < pull[$1] }) else {
      return x
    }
    isFree[next] = true
    var z = solution()
    if z[next] <= 0 {
      // For want of precision: it has no pull in truth.
      isFree[next] = false
      return x
    }
    // Go towards the solution until the first entry is 0, and keep it there.
    while let nearest = (0..<count).filter({ isFree[$0] && z[$0] <= 0 }).min(by: {
      ratio(x[$0], z[$0]) < ratio(x[$1], z[$1])
    }) {
      let length = ratio(x[nearest], z[nearest])
      for index in 0..<count where isFree[index] { x[index] += length * (z[index] - x[index]) }
      x[nearest] = 0
      isFree[nearest] = false
      z = solution()
    }
    x = z
  }
  return x
}

/// The eigenvalues and orthonormal eigenvectors of a symmetric matrix, by Jacobi's rotations.
struct SymmetricEigen {
  let values: [Double]
  /// `vectors[i]` belongs to `values[i]`.
  let vectors: [[Double]]

  init(_ matrix: GramMatrix) {
    let count = matrix.count
    var a = matrix
    var v = GramMatrix(count)
    for index in 0..<count { v[index, index] = 1 }
    let size = a.values.reduce(0) { $0 + $1 * $1 }
    for _ in 0..<60 {
      var rest = 0.0
      for p in 0..<count {
        for q in (p + 1)..<max(count, p + 1) { rest += a[p, q] * a[p, q] }
      }
      if rest <= 1e-30 * size { break }
      for p in 0..<count {
        for q in (p + 1)..<max(count, p + 1) where a[p, q] != 0 { SymmetricEigen.rotate(&a, &v, p, q) }
      }
    }
    values = (0..<count).map { a[$0, $0] }
    vectors = (0..<count).map { column in (0..<count).map { v[$0, column] } }
  }

  /// Makes entry (p, q) zero.
  private static func rotate(_ a: inout GramMatrix, _ v: inout GramMatrix, _ p: Int, _ q: Int) {
    let theta = (a[q, q] - a[p, p]) / (2 * a[p, q])
    let t = (theta < 0 ? -1 : 1) / (abs(theta) + (theta * theta + 1).squareRoot())
    let c = 1 / (t * t + 1).squareRoot()
    let s = t * c
    for k in 0..<a.count {
      let (x, y) = (a[k, p], a[k, q])
      a[k, p] = c * x - s * y
      a[k, q] = s * x + c * y
    }
    for k in 0..<a.count {
      let (x, y) = (a[p, k], a[q, k])
      a[p, k] = c * x - s * y
      a[q, k] = s * x + c * y
      let (m, n) = (v[k, p], v[k, q])
      v[k, p] = c * m - s * n
      v[k, q] = s * m + c * n
    }
  }

  /// The pseudo-inverse times a vector; eigenvalues below `tolerance` times the largest count as 0.
  func pseudoInverse(times vector: [Double], tolerance: Double) -> [Double] {
    let least = tolerance * (values.max() ?? 0)
    var result = vector.map { _ in 0.0 }
    for (value, eigenvector) in zip(values, vectors) where value > least {
      let part = zip(eigenvector, vector).reduce(0) { $0 + $1.0 * $1.1 } / value
      for index in result.indices { result[index] += part * eigenvector[index] }
    }
    return result
  }
}

/// The minimum of a convex function over the simplex w >= 0, sum w = 1, by projected gradients with Nesterov's momentum
/// and a step that is found by trying.
enum SimplexMinimum {
  /// - Parameter function: its value and gradient.
  static func find(_ count: Int, _ function: ([Double]) -> (value: Double, gradient: [Double])) -> [Double] {
    var w = [Double](repeating: 1 / Double(count), count: count)
    var ahead = w
    var value = function(w).value
    var momentum = 1.0
    var rate = 1.0
    for _ in 0..<2000 {
      let here = function(ahead)
      var next = w
      while true {
        next = project(zip(ahead, here.gradient).map { $0 - rate * $1 })
        let difference = zip(next, ahead).map { $0 - $1 }
        let square = difference.reduce(0) { $0 + $1 * $1 }
        let bound = here.value + zip(difference, here.gradient).reduce(0) { $0 + $1.0 * $1.1 } + square / (2 * rate)
        if function(next).value <= bound + 1e-15 || rate < 1e-12 { break }
        rate /= 2
      }
      let nextValue = function(next).value
      let change = zip(next, w).reduce(0) { max($0, abs($1.0 - $1.1)) }
      if nextValue > value {
        // Too much momentum: go on from the best point without.
        if momentum == 1 { break }
        momentum = 1
        ahead = w
        continue
      }
      let nextMomentum = (1 + (1 + 4 * momentum * momentum).squareRoot()) / 2
      ahead = zip(next, w).map { $0 + (momentum - 1) / nextMomentum * ($0 - $1) }
      momentum = nextMomentum
      w = next
      value = nextValue
      if change < 1e-13 { break }
      rate *= 1.5
    }
    return w
  }

  /// The nearest point of the simplex (Duchi, Shalev-Shwartz, Singer, Chandra, ICML 2008).
  static func project(_ point: [Double]) -> [Double] {
    var sum = 0.0
    var shift = 0.0
    for (index, value) in point.sorted(by: >).enumerated() {
      sum += value
      let candidate = (sum - 1) / Double(index + 1)
      if value > candidate { shift = candidate }
    }
    return point.map { max(0, $0 - shift) }
  }
}
