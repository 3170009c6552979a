/// How a blob's elements lie in memory.
///
/// `plain` is row-major float32 in the order of the shape. Every other layout belongs to an engine: only ops that the
/// engine made can read it, everything else asks for `plain` and the planner puts a reorder step in between.
package struct Layout: Equatable, Sendable {
  package static let plain = Layout(native: nil)

  /// The engine's own description; nil when plain.
  package let native: (any NativeLayout)?

  package init(native: (any NativeLayout)?) { self.native = native }

  package var isPlain: Bool { native == nil }

  /// The memory that a blob of `shape` takes, padding of the layout included.
  package func byteCount(for shape: Shape) -> Int {
    native?.byteCount ?? shape.count * MemoryLayout<Float>.stride
  }

  /// Whether elements are floats, so that functions of one element can be computed in it; else in fewer bits.
  package var holdsFloats: Bool { native?.holdsFloats ?? true }

  /// For plans and messages: `plain`, `nChw16c`, …
  package var name: String { native?.name ?? "plain" }

  package static func == (a: Layout, b: Layout) -> Bool {
    switch (a.native, b.native) {
    case (nil, nil): true
    case (let a?, let b?): a.isEqual(to: b)
    default: false
    }
  }
}

/// An engine's description of a layout, for one shape.
package protocol NativeLayout: AnyObject, Sendable {
  var name: String { get }
  var byteCount: Int { get }
  var holdsFloats: Bool { get }
  func isEqual(to other: any NativeLayout) -> Bool
}
