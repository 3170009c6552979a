import CKernels
import Compute
import Tensors

/// In any layout. Piece by piece, so that the top's part stays in the cache while bottom after bottom is added to it.
final class CPUSum: SumOp {
  let layout: Layout
  let implementation = "axpby"
  private let count: Int
  private let coefficients: [Float]
  private let pool: ThreadPool

  private static let grain = 16384
  private static let part = 4096

  init(_ description: SumDescription, layout: Layout, pool: ThreadPool) {
    self.layout = layout
    count = layout.byteCount(for: description.shape) / MemoryLayout<Float>.stride
    coefficients = description.coefficients
    self.pool = pool
  }

  func forward(bottoms: UnsafePointer<UnsafeMutableRawPointer>, top: UnsafeMutableRawPointer) {
    let top = top.floats
    let coefficients = coefficients
    pool.run(count, grain: CPUSum.grain) { from, to in
      var start = from
      while start < to {
        let length = min(CPUSum.part, to - start)
        for (index, coefficient) in coefficients.enumerated() {
          mtl_axpby(length, coefficient, bottoms[index].floats + start, index == 0 ? 0 : 1, top + start)
        }
        start += length
      }
    }
  }
}
