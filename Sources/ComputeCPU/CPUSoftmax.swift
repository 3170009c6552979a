import CKernels
import Compute

final class CPUSoftmax: SoftmaxOp {
  let implementation = "softmax"
  private let description: SoftmaxDescription
  private let tiles: Int
  private let grain: Int
  private let pool: ThreadPool

  init(_ description: SoftmaxDescription, pool: ThreadPool) {
    self.description = description
    tiles = description.outer * mtl_softmax_tile_count(description.inner)
    // A tile has up to 16 positions.
    grain = max(1, 4096 / max(1, description.channels * min(16, description.inner)))
    self.pool = pool
  }

  func forward(bottom: UnsafePointer<Float>, top: UnsafeMutablePointer<Float>) {
    let (channels, inner) = (description.channels, description.inner)
    pool.run(tiles, grain: grain) { from, to in mtl_softmax(from, to, channels, inner, bottom, top) }
  }

  func backward(
    top: UnsafePointer<Float>, topGradient: UnsafePointer<Float>, bottomGradient: UnsafeMutablePointer<Float>
  ) {
    let (channels, inner) = (description.channels, description.inner)
    pool.run(tiles, grain: grain) { from, to in
      mtl_softmax_backward(from, to, channels, inner, top, topGradient, bottomGradient)
    }
  }
}
