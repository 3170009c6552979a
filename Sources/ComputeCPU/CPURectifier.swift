import CKernels
import Compute
import Tensors

/// In any layout: what fills up blocks stays zero, since 0 becomes 0.
final class CPURectifier: RectifierOp {
  let layout: Layout
  let implementation: String
  private let count: Int
  private let negativeSlope: Float
  private let pool: ThreadPool

  private static let grain = 16384

  init(_ description: RectifierDescription, layout: Layout, pool: ThreadPool) {
    self.layout = layout
    implementation = layout.isHalf ? "rectify bf16" : "rectify"
    count = layout.elementCount(for: description.shape)
    negativeSlope = description.negativeSlope
    self.pool = pool
  }

  func forward(bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer) {
    let slope = negativeSlope
    if layout.isHalf {
      // Whole vectors, since neither may read what the other one writes.
      pool.run(count / 16, grain: CPURectifier.grain / 16) { from, to in
        mtl_rectify_halves((to - from) * 16, slope, bottom + from * 32, top + from * 32)
      }
      return
    }
    let (bottom, top) = (bottom.floats, top.floats)
    pool.run(count, grain: CPURectifier.grain) { from, to in
      mtl_rectify(to - from, slope, bottom + from, top + from)
    }
  }

  func backward(reference: UnsafeRawPointer, topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer) {
    let slope = negativeSlope
    if layout.isHalf {
      pool.run(count / 16, grain: CPURectifier.grain / 16) { from, to in
        mtl_rectify_backward_halves(
          (to - from) * 16, slope, reference + from * 32, topGradient + from * 32, bottomGradient + from * 32)
      }
      return
    }
    let (reference, topGradient, bottomGradient) = (reference.floats, topGradient.floats, bottomGradient.floats)
    pool.run(count, grain: CPURectifier.grain) { from, to in
      mtl_rectify_backward(to - from, slope, reference + from, topGradient + from, bottomGradient + from)
    }
  }
}
