import CKernels
import Compute
import Tensors

/// In any layout: what fills up blocks stays zero, since 0 becomes 0.
final class CPURectifier: RectifierOp {
  let layout: Layout
  let implementation = "rectify"
  private let count: Int
  private let negativeSlope: Float
  private let pool: ThreadPool

  private static let grain = 16384

  init(_ description: RectifierDescription, layout: Layout, pool: ThreadPool) {
    self.layout = layout
    count = layout.byteCount(for: description.shape) / MemoryLayout<Float>.stride
    negativeSlope = description.negativeSlope
    self.pool = pool
  }

  func forward(bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer) {
    let (bottom, top, slope) = (bottom.floats, top.floats, negativeSlope)
    pool.run(count, grain: CPURectifier.grain) { from, to in
      mtl_rectify(to - from, slope, bottom + from, top + from)
    }
  }

  func backward(reference: UnsafeRawPointer, topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer) {
    let (reference, topGradient, bottomGradient) = (reference.floats, topGradient.floats, bottomGradient.floats)
    let slope = negativeSlope
    pool.run(count, grain: CPURectifier.grain) { from, to in
      mtl_rectify_backward(to - from, slope, reference + from, topGradient + from, bottomGradient + from)
    }
  }
}
