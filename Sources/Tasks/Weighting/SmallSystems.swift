import Nets

/// The factor L of a symmetric positive definite matrix A = L L', for systems with as many unknowns as there are tasks.
struct Cholesky {
  private let count: Int
  /// The lower triangle counts, row by row.
  private let factor: [Double]

  /// What is not quite positive for want of precision is taken as a small positive number.
  init(_ matrix: GramMatrix) {
    let count = matrix.count
    let least = 1e-14 * max((0..<count).map { matrix[$0, $0] }.max() ?? 1, 1e-300)
    var factor = matrix.values
    factor.withUnsafeMutableBufferPointer { f in
      for column in 0..<count {
        for row in column..<count {
          var sum = f[row * count + column]
          for k in 0..<column { sum -= f[row * count + k] * f[column * count + k] }
          f[row * count + column] = row == column ? max(sum, least).squareRoot() : sum / f[column * count + column]
        }
      }
    }
    self.count = count
    self.factor = factor
  }

  func solve(_ right: [Double]) -> [Double] {
    var x = right
    factor.withUnsafeBufferPointer { f in
      x.withUnsafeMutableBufferPointer { x in
        for row in 0..<count {
          for k in 0..<row { x[row] -= f[row * count + k] * x[k] }
          x[row] /= f[row * count + row]
        }
        for row in (0..<count).reversed() {
          for k in (row + 1)..<count { x[row] -= f[k * count + row] * x[k] }
          x[row] /= f[row * count + row]
        }
      }
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
    var a = matrix.values
    // Row by row, the vectors.
    var v = [Double](repeating: 0, count: count * count)
    for index in 0..<count { v[index * count + index] = 1 }
    let size = a.reduce(0) { $0 + $1 * $1 }
    a.withUnsafeMutableBufferPointer { a in
      v.withUnsafeMutableBufferPointer { v in
        for _ in 0..<60 {
          var rest = 0.0
          for p in 0..<count {
            for q in (p + 1)..<max(count, p + 1) { rest += a[p * count + q] * a[p * count + q] }
          }
          if rest <= 1e-30 * size { break }
          for p in 0..<count {
            for q in (p + 1)..<max(count, p + 1) where a[p * count + q] != 0 {
              SymmetricEigen.rotate(a, v, count, p, q)
            }
          }
        }
      }
    }
    values = (0..<count).map { a[$0 * count + $0] }
    vectors = (0..<count).map { row in Array(v[(row * count)..<((row + 1) * count)]) }
  }

  /// Makes entry (p, q) zero.
  private static func rotate(
    _ a: UnsafeMutableBufferPointer<Double>, _ v: UnsafeMutableBufferPointer<Double>, _ count: Int, _ p: Int, _ q: Int
  ) {
    let theta = (a[q * count + q] - a[p * count + p]) / (2 * a[p * count + q])
    let t = (theta < 0 ? -1 : 1) / (abs(theta) + (theta * theta + 1).squareRoot())
    let c = 1 / (t * t + 1).squareRoot()
    let s = t * c
    for k in 0..<count {
      let (x, y) = (a[k * count + p], a[k * count + q])
      a[k * count + p] = c * x - s * y
      a[k * count + q] = s * x + c * y
    }
    for k in 0..<count {
      let (x, y) = (a[p * count + k], a[q * count + k])
      a[p * count + k] = c * x - s * y
      a[q * count + k] = s * x + c * y
      let (m, n) = (v[p * count + k], v[q * count + k])
      v[p * count + k] = c * m - s * n
      v[q * count + k] = s * m + c * n
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
