import Diagnostics

/// The extents of a blob, outermost first; images are N x C x H x W. A blob without axes holds one value.
package struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
  package var dims: [Int]

  package init(_ dims: [Int]) { self.dims = dims }
  package init(arrayLiteral dims: Int...) { self.dims = dims }

  /// What a loss or a metric has: no axes, one value.
  package static let scalar: Shape = []

  package var rank: Int { dims.count }

  /// The number of elements; `unbounded` when it is larger.
  package var count: Int { Shape.product(dims) }

  /// The number of elements of the axes `range`; `unbounded` when it is larger.
  package func count(_ range: some RangeExpression<Int>) -> Int { Shape.product(dims[range]) }

  /// More than any blob may have; small enough that a few such numbers can be added up.
  package static let unbounded = 1 << 40
  /// The most values of a blob, as in Caffe.
  package static let mostValues = Int(Int32.max)

  private static func product(_ extents: some Sequence<Int>) -> Int {
    var product = 1
    var isLarge = false
    for extent in extents {
      // Whatever came before, an axis of 0 leaves nothing.
      guard extent != 0 else { return 0 }
      let (value, overflows) = product.multipliedReportingOverflow(by: extent)
      isLarge = isLarge || overflows || abs(value) > unbounded
      product = isLarge ? unbounded : value
    }
    return product
  }

  package subscript(axis: Int) -> Int {
    get { dims[axis] }
    set { dims[axis] = newValue }
  }

  /// The extent of `axis`, or 1 where the blob has fewer axes: how the format's four-axis fields see a smaller blob.
  package func extent(_ axis: Int) -> Int { axis < dims.count ? dims[axis] : 1 }

  /// `axis` counted from the front; a negative one counts from the back, as everywhere in the format.
  ///
  /// - Throws: `badParameter` when the blob has no such axis.
  package func canonicalAxis(_ axis: Int) throws -> Int {
    guard axis >= -rank, axis < rank else {
      throw Diagnostic(.badParameter, "axis \(axis) is out of range: the bottom is \(self), which has \(rank) axes")
    }
    return axis < 0 ? axis + rank : axis
  }

  package var description: String {
    dims.isEmpty ? "(one value)" : dims.map(String.init).joined(separator: "x")
  }
}
