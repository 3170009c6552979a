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
  private let isHalf: Bool
  /// Floats of a thread's scratch memory for halves, which lies in front of any other.
  private let planes: Int
  private let units: Int
  private let grain: Int
  private let pool: ThreadPool

  init(_ description: PoolingDescription, bottom: Layout, pool: ThreadPool) {
    let (bottomShape, topShape, format) = (description.bottomShape, description.topShape, bottom.format)
    isHalf = bottom.isHalf
    planes = isHalf ? 16 * (bottomShape.count(2...) + topShape.count(2...)) : 0
    self.description = description
    bottomLayout = Layout(format, bottomShape, isHalf: isHalf)
    topLayout = Layout(format, topShape, isHalf: isHalf)
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
    scratchByteCount =
      pool.count * planes * MemoryLayout<Float>.stride
      + (isMax && !description.bottomGradient && description.wantsMask ? whichByteCount : 0)
    implementation = (isMax ? "maximum" : "average") + (isHalf ? " bf16" : "")
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
    let planeBytes = pool.count * planes * MemoryLayout<Float>.stride
    let which: UnsafeMutableRawPointer? =
      workspaceByteCount > 0 ? workspace : scratchByteCount > planeBytes ? scratch + planeBytes : nil
    if isHalf {
      forwardHalves(bottom, top, which, scratch.floats)
      if let mask { maskPlaces(which, mask) }
      return
    }
    let (bottom, top) = (bottom.floats, top.floats)
    withUnsafePointer(to: pooling) { pooling in
      switch description.method {
      case .max:
        pool.run(units, grain: grain) { from, to in mtl_pool_max(from, to, pooling, bottom, top, which) }
        if let mask { maskPlaces(which, mask) }
      case .average:
        pool.run(units, grain: grain) { from, to in mtl_pool_average(from, to, pooling, bottom, top) }
      }
    }
  }

  func backward(
    topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer, workspace: UnsafeRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    if isHalf { return backwardHalves(topGradient, workspace, bottomGradient, scratch.floats) }
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

  private func maskPlaces(_ which: UnsafeMutableRawPointer?, _ mask: UnsafeMutablePointer<Float>) {
    withUnsafePointer(to: pooling) { mtl_pool_mask(description.batch, description.channels, $0, which, mask) }
  }

  /// Each piece has scratch memory of its own.
  private func forwardHalves(
    _ bottom: UnsafeRawPointer, _ top: UnsafeMutableRawPointer, _ which: UnsafeMutableRawPointer?,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    let (units, planes, isMax) = (units, planes, description.method == .max)
    let pieces = Int(mtl_piece_count(units, grain, pool.count))
    withUnsafePointer(to: pooling) { pooling in
      pool.run(pieces, grain: 1) { from, to in
        for piece in from..<to {
          mtl_pool_halves(
            units * piece / pieces, units * (piece + 1) / pieces, pooling, isMax, bottom, top, which,
            scratch + piece * planes)
        }
      }
    }
  }

  private func backwardHalves(
    _ topGradient: UnsafeRawPointer, _ which: UnsafeRawPointer, _ bottomGradient: UnsafeMutableRawPointer,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    let (units, planes, isMax) = (units, planes, description.method == .max)
    let pieces = Int(mtl_piece_count(units, grain, pool.count))
    withUnsafePointer(to: pooling) { pooling in
      pool.run(pieces, grain: 1) { from, to in
        for piece in from..<to {
          mtl_pool_backward_halves(
            units * piece / pieces, units * (piece + 1) / pieces, pooling, isMax, topGradient, which, bottomGradient,
            scratch + piece * planes)
        }
      }
    }
  }
}
