import CaffeSchema
import Tensors

/// A layer whose tops take their shapes from something outside the net: a database, a list, a file, a program.
///
/// Where that is absent, a net can still be looked at: what the layer's fields tell of each top is its outline, and
/// `ShapeAssumptions` fills in the rest.
package protocol AbsentSourceLayer: Layer {
  /// An outline for each top, when what would tell their shapes is not there; nil when it is, or when the fields and
  /// bottoms tell all.
  func outlinesWithoutSource(bottoms: [Shape]) -> [TopOutline]?
}

/// As much of a top's shape as is known; nil for an extent that is not.
package struct TopOutline: Hashable, Sendable {
  /// nil when not even the number of axes is known.
  package var extents: [Int?]?
  /// The first extent, where the number of axes is not known.
  package var batch: Int?
  /// What it usually is, to be tried first for what is not known.
  package var usual: [Int]?
  /// Whether there may be more axes behind the extents, against what is usual.
  package var mayGrow = false
  /// Whether it is of images for certain, whoever reads them.
  package var isImages: Bool

  package init(_ extents: [Int?]?, isImages: Bool = false) {
    self.extents = extents
    self.isImages = isImages
  }

  package static let unknown = TopOutline(nil)

  /// Rows of a batch, of which nothing is known.
  package static func rows(_ batch: Int) -> TopOutline {
    var outline = TopOutline.unknown
    outline.batch = batch
    return outline
  }

  /// Images of a batch.
  package static func images(batch: Int, channels: Int? = nil, height: Int? = nil, width: Int? = nil) -> TopOutline {
    TopOutline([batch, channels, height, width], isImages: true)
  }

  /// Open extents that are usually `dims`.
  package func usually(_ dims: [Int]) -> TopOutline {
    var outline = self
    outline.usual = dims
    return outline
  }

  package static func exactly(_ shape: Shape) -> TopOutline { TopOutline(shape.dims.map { $0 }) }

  /// The shape, when all of it is known.
  package var shape: Shape? {
    guard let extents, !extents.contains(nil) else { return nil }
    return Shape(extents.compactMap { $0 })
  }

  /// `dims` brought into the outline: with extents of 1 behind it where the outline has more axes; nil when a known
  /// extent is another one.
  package func fitted(_ dims: [Int]) -> Shape? {
    guard let extents else { return batch == nil || batch == dims.first ? Shape(dims) : nil }
    if mayGrow, dims.count > extents.count {
      let fits = zip(dims, extents).allSatisfy { $1 == nil || $1 == $0 }
      return fits ? Shape(dims) : nil
    }
    guard dims.count <= extents.count else { return nil }
    let padded = dims + [Int](repeating: 1, count: extents.count - dims.count)
    let fits = zip(padded, extents).allSatisfy { $1 == nil || $1 == $0 }
    return fits ? Shape(padded) : nil
  }
}

extension TransformationParameter {
  /// What is known of images that go through it.
  ///
  /// - Parameters:
  ///   - channels, height, width: of the images before, where something tells them; 0 for unknown.
  package func imageOutline(
    batch: Int, channels: UInt32 = 0, height: UInt32 = 0, width: UInt32 = 0
  ) -> TopOutline {
    let decoded = forceColor ? 3 : forceGray ? 1 : channels
    let depth = decoded > 0 ? Int(decoded) : meanValue.count > 1 ? meanValue.count : nil
    let resize = resizeParam.first
    let sides = [
      [cropHeight, cropH, cropSize, resize?.height ?? 0, height],
      [cropWidth, cropW, cropSize, resize?.width ?? 0, width],
    ].map { $0.first { $0 > 0 }.map(Int.init) }
    return .images(batch: batch, channels: depth, height: sides[0], width: sides[1])
  }
}
