import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The bottom back to front along `axis` (0 unless given; some forks take several).
package struct Reverse: Layer {
  package static let type = "Reverse"
  package static let parameterFields: [String]? = ["reverse_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let axes: [Int]

  package init(_ fields: LayerFields) throws {
    let given = fields.parameter.reverseParam.axis.map(Int.init)
    axes = given.isEmpty ? [0] : given
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    for axis in axes { _ = try bottoms[0].canonicalAxis(axis) }
    return LayerShapes(tops: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axes.contains { (try? bottoms[0].canonicalAxis($0)) == axis } ? nil : .all
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    var map = Rearrangement(binding.bottomShapes[0].dims)
    for axis in axes { map = map.reversed(try binding.bottomShapes[0].canonicalAxis(axis)) }
    return map.bind(binding)
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "first axis", inputs: [.normal([4, 2, 3])], #"layer { name: "r" type: "Reverse" bottom: "in0" top: "r" }"#),
    LayerExample(
      "last axis", inputs: [.normal([2, 3, 4])],
      #"layer { name: "r" type: "Reverse" bottom: "in0" top: "r" reverse_param { axis: -1 } }"#),
  ]
}
