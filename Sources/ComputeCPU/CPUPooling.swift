import CKernels
import Compute
import Tensors

/// Pooling by kernels of our own, in the bottom's format.
///
/// oneDNN's maximum ignores NaN, which would hide a net that has blown up, and its averages divide by other sizes where
/// a window is cut; these kernels compute what the format says everywhere, at the speed of memory like oneDNN's.
final class CPUPooling: PoolingOp {
  let bottomLayout: Layout
  let topLayout: Layout
  let workspaceByteCount: Int
  let scratchByteCount: Int
  let implementation: String
  private let description: PoolingDescription
  private let pooling: mtl_pooling
  private let units: Int
  private let grain: Int
  private let pool: ThreadPool

  init(_ description: PoolingDescription, format: Format, pool: ThreadPool) {
    let (bottomShape, topShape) = (description.bottomShape, description.topShape)
    self.description = description
    bottomLayout = Layout(format, bottomShape)
    topLayout = Layout(format, topShape)
    var pooling = mtl_pooling(
      bottom: CPUPooling.axes(description.bottomExtents, 1), top: CPUPooling.axes(description.topExtents, 1),
      kernel: CPUPooling.axes(description.kernel, 1), stride: CPUPooling.axes(description.stride, 1),
      pad: CPUPooling.axes(description.pad, 0), excludes_padding: description.excludesPadding,
      bottom_order: mtl_channel_order(format, bottomShape), top_order: mtl_channel_order(format, topShape))
    // Where the maxima were, for the mask and for backward.
    let whichByteCount = mtl_pool_which_size(&pooling) * description.batch * pooling.top_order.image_stride
    self.pooling = pooling
    let isMax = description.method == .max
    workspaceByteCount = isMax && description.bottomGradient ? whichByteCount : 0
    scratchByteCount = isMax && !description.bottomGradient && description.wantsMask ? whichByteCount : 0
    implementation = isMax ? "maximum" : "average"
    units = description.batch * pooling.top_order.groups
    let reads = topShape.count(2...) * description.kernel.reduce(1, *) * pooling.top_order.lanes
    grain = max(1, 32768 / max(1, reads))
    self.pool = pool
  }

  /// Depth, height and width.
  private static func axes(_ values: [Int], _ missing: Int) -> (Int, Int, Int) {
    let all = Array(repeating: missing, count: 3 - values.count) + values
    return (all[0], all[1], all[2])
  }

  func forward(
    bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer, mask: UnsafeMutablePointer<Float>?,
    workspace: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    let (bottom, top) = (bottom.floats, top.floats)
    let which: UnsafeMutableRawPointer? =
      workspaceByteCount > 0 ? workspace : scratchByteCount > 0 ? scratch : nil
    withUnsafePointer(to: pooling) { pooling in
      switch description.method {
      case .max:
        pool.run(units, grain: grain) { from, to in mtl_pool_max(from, to, pooling, bottom, top, which) }
        if let mask { mtl_pool_mask(description.batch, description.channels, pooling, which, mask) }
      case .average:
        pool.run(units, grain: grain) { from, to in mtl_pool_average(from, to, pooling, bottom, top) }
      }
    }
  }

  func backward(
    topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer, workspace: UnsafeRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    let (topGradient, bottomGradient) = (topGradient.floats, bottomGradient.floats)
    withUnsafePointer(to: pooling) { pooling in
      switch description.method {
      case .max:
        pool.run(units, grain: grain) { from, to in
          mtl_pool_max_backward(from, to, pooling, topGradient, workspace, bottomGradient)
        }
      case .average:
        pool.run(units, grain: grain) { from, to in
          mtl_pool_average_backward(from, to, pooling, topGradient, bottomGradient)
        }
      }
    }
  }
}
