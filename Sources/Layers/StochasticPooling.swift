import CaffeSchema
import Compute
import Nets
import Tensors

/// Stochastic pooling (Zeiler, Fergus, ICLR 2013) of two spatial axes without padding: in TRAIN each window gives one
/// of its values, drawn with a probability in proportion to it; in TEST their average with these weights, sum x^2 / sum
/// x, or 0 where the sum is not above 0. The values are meant to be 0 or more.
///
/// Caffe has it for GPUs only.
final class StochasticPooling: PoolingOp {
  let bottomLayout = Layout.plain
  let topLayout = Layout.plain
  let scratchByteCount = 0
  let implementation = "loops"

  private let description: PoolingDescription
  private let engine: any Engine
  private let draws: LayerDraws
  private let isTraining: Bool
  private let plane: Int
  private let topPlane: Int

  init(_ description: PoolingDescription, _ binding: LayerBinding) {
    self.description = description
    engine = binding.engine
    draws = binding.draws
    isTraining = binding.phase == .train
    plane = description.bottomExtents.reduce(1, *)
    topPlane = description.topExtents.reduce(1, *)
  }

  /// TRAIN: the place of each drawn value (Int32, -1 for none). TEST, when backward follows: a copy of the bottom, and
  /// the sum of each window.
  var workspaceByteCount: Int {
    if isTraining { return description.topShape.count * MemoryLayout<Int32>.stride }
    guard description.bottomGradient else { return 0 }
    return (description.bottomShape.count + description.topShape.count) * MemoryLayout<Float>.stride
  }

  func forward(
    bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer, mask: UnsafeMutablePointer<Float>?,
    workspace: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    let x = bottom.assumingMemoryBound(to: Float.self)
    let y = top.assumingMemoryBound(to: Float.self)
    if isTraining {
      draw(x, y, workspace.assumingMemoryBound(to: Int32.self))
    } else {
      average(x, y, description.bottomGradient ? workspace.assumingMemoryBound(to: Float.self) : nil)
    }
  }

  private func draw(
    _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ positions: UnsafeMutablePointer<Int32>
  ) {
    let stream = draws.stream
    forEachWindow { index, start, rows, columns in
      var sum: Float = 0
      for h in rows { for w in columns { sum += x[start + h * description.bottomExtents[1] + w] } }
      let threshold = stream.uniform(index) * sum
      (y[index], positions[index]) = (sum.isNaN ? .nan : 0, -1)
      sum = 0
      search: for h in rows {
        for w in columns {
          let at = start + h * description.bottomExtents[1] + w
          sum += x[at]
          if sum >= threshold {
            (y[index], positions[index]) = (x[at], Int32(at - start))
            break search
          }
        }
      }
    }
  }

  private func average(
    _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ workspace: UnsafeMutablePointer<Float>?
  ) {
    let count = description.bottomShape.count
    workspace?.update(from: x, count: count)
    forEachWindow { index, start, rows, columns in
      var sum: Float = 0
      var squares: Float = 0
      for h in rows {
        for w in columns {
          let value = x[start + h * description.bottomExtents[1] + w]
          sum += value
          squares += value * value
        }
      }
      y[index] = sum > 0 ? squares / sum : sum.isNaN ? .nan : 0
      workspace?[count + index] = sum
    }
  }

  func backward(
    topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer, workspace: UnsafeRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    let dy = topGradient.assumingMemoryBound(to: Float.self)
    let dx = bottomGradient.assumingMemoryBound(to: Float.self)
    dx.update(repeating: 0, count: description.bottomShape.count)
    if isTraining {
      let positions = workspace.assumingMemoryBound(to: Int32.self)
      forEachWindow { index, start, _, _ in
        if positions[index] >= 0 { dx[start + Int(positions[index])] += dy[index] }
      }
    } else {
      spread(dy, dx, workspace.assumingMemoryBound(to: Float.self))
    }
  }

  /// d(sum x^2 / sum x) = (2 x - sum x^2 / sum x) / sum x.
  private func spread(
    _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>, _ x: UnsafePointer<Float>
  ) {
    let sums = x + description.bottomShape.count
    forEachWindow { index, start, rows, columns in
      guard sums[index] > 0 else { return }
      var squares: Float = 0
      for h in rows {
        for w in columns {
          let value = x[start + h * description.bottomExtents[1] + w]
          squares += value * value
        }
      }
      let mean = squares / sums[index]
      for h in rows {
        for w in columns {
          let at = start + h * description.bottomExtents[1] + w
          dx[at] += dy[index] * (2 * x[at] - mean) / sums[index]
        }
      }
    }
  }

  /// Calls `body` with each window's index in the top, the start of its plane in the bottom, and its rows and columns.
  @inline(__always)
  private func forEachWindow(_ body: (_ index: Int, _ start: Int, _ rows: Range<Int>, _ columns: Range<Int>) -> Void) {
    let (height, width) = (description.bottomExtents[0], description.bottomExtents[1])
    let (kernel, stride) = (description.kernel, description.stride)
    let topWidth = description.topExtents[1]
    let grain = max(1, 4096 / max(1, plane))
    engine.parallel(description.batch * description.channels, grain: grain) { [plane, topPlane] from, to in
      for channel in from..<to {
        for position in 0..<topPlane {
          let (top, left) = (position / topWidth * stride[0], position % topWidth * stride[1])
          body(
            channel * topPlane + position, channel * plane, min(top, height)..<min(top + kernel[0], height),
            min(left, width)..<min(left + kernel[1], width))
        }
      }
    }
  }
}
