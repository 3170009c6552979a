/// How many rows of a blob there are in a pass, where the pass itself decides (the records that Filter lets through, the
/// boxes that DetectionOutput finds).
///
/// The blob's shape is that of the most rows that there can be, and so is its memory; the rows that there are come first.
/// They are counted along `axis`, before which every extent is 1. Blobs whose rows go with each other share one.
package final class LiveRows: @unchecked Sendable {
  package let axis: Int
  /// Written by the layer that decides, in its forward pass.
  package var count: Int

  package init(axis: Int, count: Int) {
    self.axis = axis
    self.count = count
  }
}

extension Blob {
  /// The shape of the rows that there are.
  package var liveShape: Shape {
    guard let rows else { return shape }
    var live = shape
    live[rows.axis] = rows.count
    return live
  }

  /// The number of values in the rows that there are.
  package var liveCount: Int { rows == nil ? count : liveShape.count }
}
