import Diagnostics
import Glibc
import Nets
import Tensors

/// Regions of interest: rows (image, x1, y1, x2, y2) in pixels of the input, of a blob R x 5.
struct RegionBoxes: Sendable {
  let count: Int
  private let images: Int
  private let identity: Diagnostic.Layer
  private let name: String

  init(_ fields: LayerFields, boxes: Shape, bottom: Shape) throws {
    guard bottom.rank == 4, bottom.count(2...) > 0 else {
      throw fields.fault(
        .badShape, "needs a bottom of 4 axes (N x C x H x W) with values, but it is \(bottom)", at: "bottom[0]")
    }
    guard boxes.rank >= 2, boxes.count(1...) == 5 else {
      throw fields.fault(
        .badShape, "needs regions R x 5 (image, x1, y1, x2, y2), but they are \(boxes)", at: "bottom[1]")
    }
    count = boxes[0]
    images = bottom[0]
    identity = fields.identity
    name = fields.parameter.bottom[1]
  }

  /// The image of a region.
  ///
  /// - Throws: `badRecord` when there is no such image in the batch, or a coordinate is no number.
  func image(_ boxes: UnsafePointer<Float>, _ index: Int) throws -> Int {
    let box = boxes + 5 * index
    guard box[0] >= 0, box[0] < Float(images), (1..<5).allSatisfy({ abs(box[$0]) < 1e6 }) else {
      throw Diagnostic(
        .badRecord,
        "region \(index) of blob '\(name)' is image \(box[0]), (\(box[1]), \(box[2])) to (\(box[3]), \(box[4])): "
          + "the image must be one of the batch, 0 to \(images - 1), and the corners numbers below a million",
        layer: identity)
    }
    return Int(box[0])
  }
}
