import Compute
import Tensors

/// top[o] = the largest real element of window o; the first one when several are equal, the first NaN when there is
/// one. An empty window gives 0.
///
/// The workspace keeps the position in its plane of each maximum (Int32, -1 for an empty window), and backward adds
/// the top's gradient there.
final class ReferenceMaxPooling: PoolingOp {
  let bottomLayout = Layout.plain
  let topLayout = Layout.plain
  let scratchByteCount = 0
  let implementation = "reference"
  private let description: PoolingDescription
  private let windows: PoolingWindows

  init(_ description: PoolingDescription) {
    self.description = description
    windows = PoolingWindows(description)
  }

  var workspaceByteCount: Int {
    description.bottomGradient ? description.topShape.count * MemoryLayout<Int32>.stride : 0
  }

  func forward(
    bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer, mask: UnsafeMutablePointer<Float>?,
    workspace: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    let positions = description.bottomGradient ? workspace.assumingMemoryBound(to: Int32.self) : nil
    for plane in 0..<description.batch * description.channels {
      let from = bottom.floats + plane * windows.bottomPlane
      let start = plane * windows.topPlane
      windows.forEach { index, window in
        var best = -1
        window.forEach { position in
          if best < 0 || from[position] > from[best] || (from[position].isNaN && !from[best].isNaN) {
            best = position
          }
        }
        top.floats[start + index] = best < 0 ? 0 : from[best]
        positions?[start + index] = Int32(best)
        mask?[start + index] = Float(best)
      }
    }
  }

  func backward(
    topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer, workspace: UnsafeRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    let positions = workspace.assumingMemoryBound(to: Int32.self)
    bottomGradient.floats.update(repeating: 0, count: description.bottomShape.count)
    for plane in 0..<description.batch * description.channels {
      let to = bottomGradient.floats + plane * windows.bottomPlane
      for index in plane * windows.topPlane..<(plane + 1) * windows.topPlane where positions[index] >= 0 {
        to[Int(positions[index])] += topGradient.floats[index]
      }
    }
  }
}

/// top[o] = the sum of the real elements of window o / its size. The size is that of the window when it was cut to the
/// padded bottom, or the number of real elements when the description excludes padding. An empty window gives 0.
///
/// Backward adds top gradient[o] / size to each real element of window o.
final class ReferenceAveragePooling: PoolingOp {
  let bottomLayout = Layout.plain
  let topLayout = Layout.plain
  let workspaceByteCount = 0
  let scratchByteCount = 0
  let implementation = "reference"
  private let description: PoolingDescription
  private let windows: PoolingWindows

  init(_ description: PoolingDescription) {
    precondition(!description.wantsMask, "an average has no mask")
    self.description = description
    windows = PoolingWindows(description)
  }

  func forward(
    bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer, mask: UnsafeMutablePointer<Float>?,
    workspace: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    for plane in 0..<description.batch * description.channels {
      let from = bottom.floats + plane * windows.bottomPlane
      let to = top.floats + plane * windows.topPlane
      windows.forEach { index, window in
        var total = 0.0
        window.forEach { total += Double(from[$0]) }
        to[index] = window.realCount == 0 ? 0 : Float(total / Double(size(window)))
      }
    }
  }

  func backward(
    topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer, workspace: UnsafeRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    bottomGradient.floats.update(repeating: 0, count: description.bottomShape.count)
    for plane in 0..<description.batch * description.channels {
      let from = topGradient.floats + plane * windows.topPlane
      let to = bottomGradient.floats + plane * windows.bottomPlane
      windows.forEach { index, window in
        let share = from[index] / Float(size(window))
        window.forEach { to[$0] += share }
      }
    }
  }

  private func size(_ window: PoolingWindows.Window) -> Int {
    description.excludesPadding ? window.realCount : window.paddedCount
  }
}
