import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The part of each record that is taken: `crop_size`, or a crop that is no square as forks write it.
struct Crop: Sendable {
  let height: Int
  let width: Int
  private let field: String

  /// - Returns: nil when records are taken whole.
  /// - Throws: a fault of the layer for fields that contradict each other.
  init?(_ fields: LayerFields) throws {
    let param = fields.parameter.transformParam
    let sides = [
      ("crop_size", Int(param.cropSize), Int(param.cropSize)), ("crop_h", Int(param.cropH), Int(param.cropW)),
      ("crop_height", Int(param.cropHeight), Int(param.cropWidth)),
    ].filter { $0.1 > 0 || $0.2 > 0 }
    guard let (name, height, width) = sides.first else { return nil }
    guard sides.count == 1 else {
      throw fields.fault("give \(name) or \(sides[1].0), not both", at: "transform_param.\(sides[1].0)")
    }
    guard height > 0, width > 0 else {
      throw fields.fault("give both sides of the crop, or crop_size for a square", at: "transform_param.\(name)")
    }
    (self.height, self.width, field) = (height, width, "transform_param.\(name)")
  }

  /// - Throws: a fault of the layer when records of this shape are too small.
  func check(_ fields: LayerFields, _ record: Shape) throws {
    guard height <= record[1], width <= record[2] else {
      let text = field.hasSuffix("crop_size") ? "crop_size \(height)" : "the crop of \(height)x\(width)"
      throw fields.fault("\(text) is larger than the records, \(record)", at: field)
    }
  }
}
