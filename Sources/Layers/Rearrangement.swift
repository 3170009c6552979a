import Compute
import Nets
import Tensors

/// A top that holds the bottom's values in another order: top[i0, i1, …] = bottom[start + i0 strides[0] + i1 strides[1] +
/// …]. Each value is taken once. What Permute, Flip, Reverse, Reorg and ShuffleChannel are made of.
struct Rearrangement: Sendable {
  /// The top's values as a grid; its product is the top's count, its axes need not be the top's.
  var extents: [Int]
  var strides: [Int]
  var start = 0

  /// The bottom itself, row-major.
  init(_ extents: [Int]) {
    self.extents = extents
    strides = extents.indices.map { extents[($0 + 1)...].reduce(1, *) }
  }

  /// The same with its axes in another order.
  func permuted(_ order: [Int]) -> Rearrangement {
    var copy = self
    copy.extents = order.map { extents[$0] }
    copy.strides = order.map { strides[$0] }
    return copy
  }

  /// The same with an axis back to front.
  func reversed(_ axis: Int) -> Rearrangement {
    var copy = self
    copy.start += max(0, extents[axis] - 1) * strides[axis]
    copy.strides[axis] = -strides[axis]
    return copy
  }

  func bind(_ binding: LayerBinding) -> any LayerRun {
    binding.backwardReads()
    return Run(self, binding.engine, binding.bottom(0), binding.top(0))
  }

  private final class Run: LayerRun {
    private let map: Rearrangement
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let width: Int
    private let step: Int

    init(_ map: Rearrangement, _ engine: any Engine, _ bottom: Blob, _ top: Blob) {
      self.map = map
      self.engine = engine
      self.bottom = bottom
      self.top = top
      width = map.extents.last ?? 1
      step = map.strides.last ?? 1
    }

    func forward() {
      let (x, y) = (bottom.values, top.values)
      forEachRow { [width, step] row, start in
        for i in 0..<width { y[row * width + i] = x[start + i * step] }
      }
    }

    func backward() {
      let (dx, dy) = (bottom.gradients, top.gradients)
      forEachRow { [width, step] row, start in
        for i in 0..<width { dx[start + i * step] = dy[row * width + i] }
      }
    }

    private func forEachRow(_ body: (_ row: Int, _ start: Int) -> Void) {
      guard top.count > 0 else { return }
      engine.parallel(top.count / width, grain: max(1, 4096 / width)) { [map] from, to in
        for row in from..<to {
          var rest = row
          var start = map.start
          for axis in (0..<max(0, map.extents.count - 1)).reversed() {
            start += rest % map.extents[axis] * map.strides[axis]
            rest /= map.extents[axis]
          }
          body(row, start)
        }
      }
    }
  }
}
