import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Mirrors the planes of N x C x H x W: left to right (`flip_width`, unless it is false) and upside down
/// (`flip_height`).
package struct Flip: Layer {
  package static let type = "Flip"
  package static let parameterFields: [String]? = ["flip_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank == 4 else {
      throw fields.fault(.badShape, "needs a bottom of 4 axes (N x C x H x W), but it is \(bottoms[0])")
    }
    return LayerShapes(tops: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    var map = Rearrangement(binding.bottomShapes[0].dims)
    if fields.parameter.flipParam.flipWidth { map = map.reversed(3) }
    if fields.parameter.flipParam.flipHeight { map = map.reversed(2) }
    return map.bind(binding)
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "width", inputs: [.normal([2, 3, 4, 5])], #"layer { name: "f" type: "Flip" bottom: "in0" top: "f" }"#),
    LayerExample(
      "height", inputs: [.normal([2, 2, 3, 4])],
      #"layer { name: "f" type: "Flip" bottom: "in0" top: "f" flip_param { flip_height: true flip_width: false } }"#),
    LayerExample(
      "both", inputs: [.normal([2, 2, 3, 4])],
      #"layer { name: "f" type: "Flip" bottom: "in0" top: "f" flip_param { flip_height: true } }"#),
  ]
}
