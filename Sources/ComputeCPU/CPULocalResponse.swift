import CKernels
import Compute
import Diagnostics
import Tensors

/// Local response normalisation in the bottom's format, by kernels of our own: oneDNN's take only some windows and
/// exponents. The scales are computed again in backward, which costs less than keeping them.
final class CPULocalResponse: LocalResponseOp {
  let layout: Layout
  let workspaceByteCount = 0
  let scratchByteCount = 0
  let implementation: String
  private let response: mtl_response
  private let tiles: Int
  private let grain: Int
  private let pool: ThreadPool

  /// - Throws: `unsupported` for a window of more channels than the kernel holds.
  init(_ description: LocalResponseDescription, bottom: Layout, pool: ThreadPool) throws {
    let shape = description.shape
    var (layout, response) = CPULocalResponse.arrange(description, bottom)
    var tilesOfImage = mtl_response_tile_count(&response)
    // Zeros that fill up a block would become infinite with a scale of zero.
    if tilesOfImage == 0 || (description.k <= 0 && layout.format.paddedChannels(shape[1]) != shape[1]) {
      (layout, response) = CPULocalResponse.arrange(description, Layout.plain)
      tilesOfImage = mtl_response_tile_count(&response)
    }
    guard tilesOfImage > 0 else {
      throw Diagnostic(.unsupported, "a local response window of \(description.size) channels; use up to 512")
    }
    self.layout = layout
    implementation = layout.isHalf ? "response bf16" : "response"
    self.response = response
    tiles = shape[0] * tilesOfImage
    grain = max(1, 8192 * tilesOfImage / max(1, shape.count(1...)))
    self.pool = pool
  }

  private static func arrange(_ description: LocalResponseDescription, _ bottom: Layout) -> (Layout, mtl_response) {
    let (shape, format) = (description.shape, bottom.format)
    return (
      Layout(format, shape, isHalf: bottom.isHalf),
      mtl_response(
        channels: shape[1], positions: shape.count(2...), size: description.size, alpha: description.alpha,
        beta: description.beta, k: description.k, order: mtl_channel_order(format, shape))
    )
  }

  func forward(
    bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    if layout.isHalf {
      withUnsafePointer(to: response) { response in
        pool.run(tiles, grain: grain) { from, to in mtl_normalize_response_halves(from, to, response, bottom, top) }
      }
      return
    }
    let (bottom, top) = (bottom.floats, top.floats)
    withUnsafePointer(to: response) { response in
      pool.run(tiles, grain: grain) { from, to in mtl_normalize_response(from, to, response, bottom, top) }
    }
  }

  func backward(
    bottom: UnsafeRawPointer, top: UnsafeRawPointer, topGradient: UnsafeRawPointer,
    bottomGradient: UnsafeMutableRawPointer, workspace: UnsafeRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    if layout.isHalf {
      withUnsafePointer(to: response) { response in
        pool.run(tiles, grain: grain) { from, to in
          mtl_normalize_response_backward_halves(from, to, response, bottom, topGradient, bottomGradient)
        }
      }
      return
    }
    let (bottom, topGradient, bottomGradient) = (bottom.floats, topGradient.floats, bottomGradient.floats)
    withUnsafePointer(to: response) { response in
      pool.run(tiles, grain: grain) { from, to in
        mtl_normalize_response_backward(from, to, response, bottom, topGradient, bottomGradient)
      }
    }
  }
}
