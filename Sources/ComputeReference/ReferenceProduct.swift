import Compute
import Tensors

/// C[i, j] = alpha * sum over k of A[i, k] B[k, j] + beta * C[i, j].
///
/// Each sum is added up in float32 with k ascending, as three nested loops would. For speed, eight columns of B at a
/// time are laid side by side (the panel), and four rows of A meet them in registers.
final class ReferenceProduct {
  private typealias Columns = SIMD8<Float>
  private static let columnCount = Columns.scalarCount
  private static let rowCount = 4

  /// K x 8 values of B; grows to the largest K that was asked for.
  private var panel = Memory(byteCount: 0)

  func multiply(
    _ product: MatrixProduct, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>
  ) {
    let bytes = product.k * MemoryLayout<Columns>.stride
    if panel.byteCount < bytes { panel = Memory(byteCount: bytes) }
    let columns = panel.base.assumingMemoryBound(to: Columns.self)
    for j in stride(from: 0, to: product.n, by: ReferenceProduct.columnCount) {
      let width = min(ReferenceProduct.columnCount, product.n - j)
      fill(columns, product, b, firstColumn: j, width: width)
      var i = 0
      while i < product.m {
        let height = product.m - i >= ReferenceProduct.rowCount ? ReferenceProduct.rowCount : 1
        let sums = height == 1 ? oneRow(product, a, i, columns) : fourRows(product, a, i, columns)
        for row in 0..<height {
          store(product, sums[row], c + (i + row) * product.n + j, width: width)
        }
        i += height
      }
    }
  }

  /// Copies the columns `firstColumn ..< firstColumn + width` of B, zeros after them.
  private func fill(
    _ columns: UnsafeMutablePointer<Columns>, _ product: MatrixProduct, _ b: UnsafePointer<Float>, firstColumn: Int,
    width: Int
  ) {
    let (kStep, columnStep) = product.transposeB ? (1, product.k) : (product.n, 1)
    let first = b + firstColumn * columnStep
    for k in 0..<product.k {
      var values = Columns.zero
      for column in 0..<width { values[column] = first[k * kStep + column * columnStep] }
      columns[k] = values
    }
  }

  private struct Sums {
    var first = Columns.zero
    var second = Columns.zero
    var third = Columns.zero
    var fourth = Columns.zero

    subscript(row: Int) -> Columns {
      switch row {
      case 0: first
      case 1: second
      case 2: third
      default: fourth
      }
    }
  }

  private func oneRow(
    _ product: MatrixProduct, _ a: UnsafePointer<Float>, _ i: Int, _ columns: UnsafePointer<Columns>
  ) -> Sums {
    let (rowStep, kStep) = product.transposeA ? (1, product.m) : (product.k, 1)
    let row = a + i * rowStep
    var sums = Sums()
    for k in 0..<product.k { sums.first += row[k * kStep] * columns[k] }
    return sums
  }

  private func fourRows(
    _ product: MatrixProduct, _ a: UnsafePointer<Float>, _ i: Int, _ columns: UnsafePointer<Columns>
  ) -> Sums {
    let (rowStep, kStep) = product.transposeA ? (1, product.m) : (product.k, 1)
    let rows = a + i * rowStep
    var sums = Sums()
    for k in 0..<product.k {
      let values = rows + k * kStep
      sums.first += values[0] * columns[k]
      sums.second += values[rowStep] * columns[k]
      sums.third += values[2 * rowStep] * columns[k]
      sums.fourth += values[3 * rowStep] * columns[k]
    }
    return sums
  }

  private func store(_ product: MatrixProduct, _ sums: Columns, _ row: UnsafeMutablePointer<Float>, width: Int) {
    for column in 0..<width {
      let kept = product.beta == 0 ? 0 : product.beta * row[column]
      row[column] = product.alpha * sums[column] + kept
    }
  }
}
