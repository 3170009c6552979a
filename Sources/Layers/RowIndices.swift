import Diagnostics
import Nets
import Tensors

/// A blob of whole numbers below `count`, that pick rows of another blob: what BatchReindex and Embed read.
struct RowIndices: Sendable {
  let count: Int
  private let identity: Diagnostic.Layer
  private let name: String

  init(_ fields: LayerFields, bottom: Int, count: Int) {
    self.count = count
    identity = fields.identity
    name = fields.parameter.bottom[bottom]
  }

  /// - Throws: `badRecord` when the value at `position` is no index.
  @inline(__always)
  func index(_ indices: UnsafePointer<Float>, _ position: Int) throws -> Int {
    let value = indices[position]
    // The comparison also refuses NaN.
    guard value >= 0, value < Float(count) else {
      throw Diagnostic(
        .badRecord,
        "value \(position) of blob '\(name)' is \(value), which is no index: there are \(count) rows, from 0 to \(count - 1)",
        layer: identity)
    }
    return Int(value)
  }
}
