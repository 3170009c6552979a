import CDNNL
import COpenBLAS
import CKernels
import Compute

/// Matrix products: the inner products of a batch by kernels of our own, which read or write the weights once, where
/// they lie; all others by the libraries, which rearrange their factors in memory that they allocate for each call.
struct Products {
  let pool: ThreadPool

  /// Up to so many rows (or steps, for a gradient of weights) our kernels are about as fast as the better library, or
  /// faster: 32 rows of 1024 to 1000 take one thread 0.68 ms forward (OpenBLAS 1.21), 0.68 and 0.60 backward (oneDNN 0.59
  /// and 0.60).
  private static let few = 128
  /// Columns to a unit of work: what a block of registers holds.
  private static let span = 64
  /// Multiplications with addition that are worth starting threads for.
  private static let grain = 262_144

  func multiply(
    _ d: MatrixProduct, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>
  ) {
    let isAdded = d.beta == 1
    guard d.alpha == 1, isAdded || d.beta == 0, d.k > 0 else { return multiplyByLibrary(d, a, b, c) }
    switch (d.transposeA, d.transposeB) {
    case (false, true) where d.m <= Products.few:
      inner(d, a, b, c, isAdded: isAdded)
    case (false, false) where d.m <= Products.few:
      outer(d, a, (row: d.k, step: 1), b, c, isAdded: isAdded)
    case (true, false) where d.k <= Products.few:
      outer(d, a, (row: 1, step: d.m), b, c, isAdded: isAdded)
    default:
      multiplyByLibrary(d, a, b, c)
    }
  }

  private func inner(
    _ d: MatrixProduct, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>,
    isAdded: Bool
  ) {
    if !isAdded { c.update(repeating: 0, count: d.m * d.n) }
    pool.run(d.n, grain: max(4, Products.grain / max(1, d.m * d.k))) { from, to in
      mtl_product_inner(from, to, d.m, d.k, a, b, c, d.n)
    }
  }

  private func outer(
    _ d: MatrixProduct, _ a: UnsafePointer<Float>, _ strides: (row: Int, step: Int), _ b: UnsafePointer<Float>,
    _ c: UnsafeMutablePointer<Float>, isAdded: Bool
  ) {
    let span = Products.span
    if d.n >= d.m {
      pool.run((d.n + span - 1) / span, grain: max(1, Products.grain / max(1, d.m * d.k * span))) { from, to in
        mtl_product_outer(
          from * span, min(to * span, d.n), d.m, d.k, a, strides.row, strides.step, b, d.n, isAdded, c, d.n)
      }
    } else {
      pool.run(d.m, grain: max(1, Products.grain / max(1, d.n * d.k))) { from, to in
        mtl_product_outer(
          0, d.n, to - from, d.k, a + from * strides.row, strides.row, strides.step, b, d.n, isAdded, c + from * d.n,
          d.n)
      }
    }
  }

  /// oneDNN's product is the faster one, except for transposed B with a long inner axis: 32 x 9216 x 4096 takes it 62 ms
  /// and OpenBLAS 27. Nothing to add up it skips.
  private func multiplyByLibrary(
    _ d: MatrixProduct, _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ c: UnsafeMutablePointer<Float>
  ) {
    let (lda, ldb, ldc) = (max(1, d.transposeA ? d.m : d.k), max(1, d.transposeB ? d.k : d.n), max(1, d.n))
    pool.use()
    if d.transposeB || d.k == 0 {
      cblas_sgemm(
        CblasRowMajor, d.transposeA ? CblasTrans : CblasNoTrans, d.transposeB ? CblasTrans : CblasNoTrans, Int32(d.m),
        Int32(d.n), Int32(d.k), d.alpha, a, Int32(lda), b, Int32(ldb), d.beta, c, Int32(ldc))
    } else {
      let status = mtl_dnnl_sgemm(
        d.transposeA, false, Int64(d.m), Int64(d.n), Int64(d.k), d.alpha, a, Int64(lda), b, Int64(ldb), d.beta, c,
        Int64(ldc))
      precondition(status == 0, "oneDNN: \(String(cString: mtl_dnnl_message(status)))")
    }
  }
}
