import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Joins the axes from `axis` to `end_axis` into one: N x C x H x W becomes N x CHW. The values stay where they are.
package struct Flatten: Layer {
  package static let type = "Flatten"
  package static let parameterFields: [String]? = ["flatten_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let param = fields.parameter.flattenParam
    let bottom = bottoms[0]
    let start = try bottom.canonicalAxis(Int(param.axis))
    let end = try bottom.canonicalAxis(Int(param.endAxis))
    guard start <= end else {
      throw fields.fault(.badShape, "axis \(start) lies behind end_axis \(end)", at: "flatten_param.end_axis")
    }
    return LayerShapes(
      tops: [Shape(Array(bottom.dims[..<start]) + [bottom.count(start...end)] + Array(bottom.dims[(end + 1)...]))])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? bottoms[0].canonicalAxis(Int(fields.parameter.flattenParam.axis))).map { axis < $0 } == true ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    _ = binding.topViewing(binding.bottom(0), 0)
    binding.backwardReads()
    return ViewRun()
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "all but the batch", inputs: [.normal([2, 3, 2, 2])],
      #"layer { name: "f" type: "Flatten" bottom: "in0" top: "f" }"#),
    LayerExample(
      "two axes in the middle", inputs: [.normal([2, 3, 2, 2])],
      #"layer { name: "f" type: "Flatten" bottom: "in0" top: "f" flatten_param { axis: 1 end_axis: -2 } }"#),
  ]
}
