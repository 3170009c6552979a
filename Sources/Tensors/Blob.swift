/// A value of the graph and its gradient: what a top is to the layer that makes it, a bottom to the layer that reads it.
///
/// An in-place top of the prototxt is a blob of its own here ('a fresh version'); whether the two share memory is the
/// planner's business. A blob that several layers read is handed to each as a branch: the same data, a gradient of its
/// own, so that a layer always overwrites its bottoms' gradients and the graph adds them up.
package final class Blob {
  /// The name in the prototxt.
  package let name: String
  package let shape: Shape
  /// Of data and gradient alike.
  package let layout: Layout
  package let dataRegion: Region
  package let gradientRegion: Region
  /// Whether a gradient is computed for this blob.
  package let hasGradient: Bool
  /// Where each pass decides how many rows there are; nil where all are.
  package let rows: LiveRows?

  package init(
    name: String, shape: Shape, layout: Layout, hasGradient: Bool, dataRegion: Region? = nil, rows: LiveRows? = nil
  ) {
    self.name = name
    self.shape = shape
    self.layout = layout
    self.hasGradient = hasGradient
    self.rows = rows
    let bytes = layout.byteCount(for: shape)
    self.dataRegion = dataRegion ?? Region(byteCount: bytes)
    gradientRegion = Region(byteCount: hasGradient ? bytes : 0)
  }

  package var count: Int { shape.count }

  /// Raw memory in the blob's layout, for ops.
  package var data: UnsafeMutableRawPointer { dataRegion.pointer }
  package var gradient: UnsafeMutableRawPointer { gradientRegion.pointer }

  /// The elements in the order of the shape. Only for plain blobs.
  package var values: UnsafeMutablePointer<Float> {
    assert(layout.isPlain, "blob '\(name)' is not plain")
    return data.assumingMemoryBound(to: Float.self)
  }

  /// The gradient's elements in the order of the shape. Only for plain blobs with a gradient.
  package var gradients: UnsafeMutablePointer<Float> {
    assert(layout.isPlain && hasGradient, "blob '\(name)' is not plain or has no gradient")
    return gradient.assumingMemoryBound(to: Float.self)
  }
}
