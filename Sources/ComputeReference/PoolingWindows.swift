import Compute

/// The windows of a pooling, cut to the real elements; fewer than three spatial axes are seen as three.
struct PoolingWindows {
  /// One window along one axis.
  private struct Span {
    /// Real elements.
    var range: Range<Int>
    /// Elements of the padded bottom: the window itself, cut where the padding ends.
    var paddedCount: Int
  }

  private let spans: [[Span]]
  private let height: Int
  private let width: Int
  let bottomPlane: Int
  let topPlane: Int

  init(_ description: PoolingDescription) {
    let bottom = threeAxes(description.bottomExtents, filler: 1)
    let top = threeAxes(description.topExtents, filler: 1)
    let kernel = threeAxes(description.kernel, filler: 1)
    let stride = threeAxes(description.stride, filler: 1)
    let pad = threeAxes(description.pad, filler: 0)
    spans = (0..<3).map { axis in
      (0..<top[axis]).map { index in
        let start = index * stride[axis] - pad[axis]
        let end = min(start + kernel[axis], bottom[axis] + pad[axis])
        let first = max(start, 0)
        return Span(range: first..<max(first, min(end, bottom[axis])), paddedCount: end - start)
      }
    }
    height = bottom[1]
    width = bottom[2]
    bottomPlane = bottom.reduce(1, *)
    topPlane = top.reduce(1, *)
  }

  /// One window: its real elements in row-major order, and its size when the padding counts.
  struct Window {
    fileprivate var depth: Range<Int>
    fileprivate var rows: Range<Int>
    fileprivate var columns: Range<Int>
    fileprivate var planeHeight: Int
    fileprivate var planeWidth: Int
    fileprivate(set) var paddedCount: Int

    var realCount: Int { depth.count * rows.count * columns.count }

    /// Calls `body` with the position in the plane of every real element.
    @inline(__always)
    func forEach(_ body: (_ position: Int) -> Void) {
      for d in depth {
        for h in rows {
          for w in columns { body((d * planeHeight + h) * planeWidth + w) }
        }
      }
    }
  }

  /// Calls `body` with every window of a plane, in the order of the top.
  @inline(__always)
  func forEach(_ body: (_ index: Int, _ window: Window) -> Void) {
    var index = 0
    for depth in spans[0] {
      for rows in spans[1] {
        for columns in spans[2] {
          let window = Window(
            depth: depth.range, rows: rows.range, columns: columns.range, planeHeight: height, planeWidth: width,
            paddedCount: depth.paddedCount * rows.paddedCount * columns.paddedCount)
          body(index, window)
          index += 1
        }
      }
    }
  }
}
