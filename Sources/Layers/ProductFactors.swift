import Compute
import Nets
import Tensors

/// The gradients that several tasks have in the weights of one inner product, as the factors that they are: task i's is
/// D_i^T X with the bottom X (records x inputs) and its gradient of the top D_i (records x outputs).
///
/// The inner product of two is that of (X X^T) D_i and D_j, and their weighted sum is (sum of w_i D_i)^T X: nothing of the
/// size of the weights is made for each task. With a bias the bottom has one more input, which is 1. (Goodfellow, Efficient
/// per-example gradient computations, 2015, has the same for the gradients of single records.)
final class ProductFactors {
  private let engine: any Engine
  private let rows: Int
  private let bottom: Blob
  private let top: Blob
  /// X X^T, records x records.
  private let products: Region
  /// Records x outputs.
  private let work: Region

  /// Whether the factors of several tasks are clearly less work than their gradients, counted in multiplications: as a rule
  /// where there are fewer records than inputs.
  static func pay(tasks: Int, rows: Int, inputs: Int, _ top: Blob) -> Bool {
    guard tasks > 1, rows > 0 else { return false }
    let pairs = tasks * (tasks + 1) / 2
    let outputs = top.count / rows
    let gradients = tasks * rows * inputs * outputs + pairs * inputs * outputs
    let factors = rows * (rows + outputs) * inputs + tasks * rows * rows * outputs + pairs * rows * outputs
    return 2 * factors < gradients
  }

  init(_ binding: LayerBinding, rows: Int, _ bottom: Blob, _ top: Blob) {
    engine = binding.engine
    self.rows = rows
    self.bottom = bottom
    self.top = top
    products = binding.scratch(rows * rows * MemoryLayout<Float>.stride)
    work = binding.scratch(top.count * MemoryLayout<Float>.stride)
  }

  private var values: UnsafeMutablePointer<Float> { work.pointer.assumingMemoryBound(to: Float.self) }

  func compare(tasks count: Int, hasBias: Bool, select: (Int) -> Void, _ found: (Int, Int, Double) -> Void) {
    let products = self.products.pointer.assumingMemoryBound(to: Float.self)
    let x = UnsafePointer(bottom.values)
    engine.multiply(
      MatrixProduct(m: rows, n: rows, k: bottom.count / rows, transposeB: true), x, x, products)
    if hasBias { for i in 0..<rows * rows { products[i] += 1 } }
    for i in 0..<count {
      select(i)
      engine.multiply(MatrixProduct(m: rows, n: top.count / rows, k: rows), products, top.gradients, values)
      for j in i..<count {
        select(j)
        found(i, j, engine.vectors.dot(top.count, values, top.gradients))
      }
    }
  }

  /// - Returns: the weighted sum of the tasks' gradients of the top.
  func combine(tasks count: Int, select: (Int) -> Void, weight: (Int) -> Float) -> UnsafePointer<Float> {
    for i in 0..<count {
      select(i)
      engine.vectors.axpby(top.count, weight(i), top.gradients, i == 0 ? 0 : 1, values)
    }
    return UnsafePointer(values)
  }
}
