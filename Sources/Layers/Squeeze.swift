import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The same values without the named axes, which must be of extent 1; without any named, without all such axes.
package struct Squeeze: Layer {
  package static let type = "Squeeze"
  package static let parameterFields: [String]? = ["squeeze_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bottom = bottoms[0]
    let axes = try fields.parameter.squeezeParam.axis.map { try bottom.canonicalAxis(Int($0)) }
    if let index = axes.firstIndex(where: { bottom[$0] != 1 }) {
      throw fields.fault(
        .badShape, "axis \(axes[index]) of the bottom \(bottom) is not of extent 1", at: "squeeze_param.axis[\(index)]")
    }
    let kept = bottom.dims.indices.filter { axes.isEmpty ? bottom[$0] != 1 : !axes.contains($0) }
    return LayerShapes(tops: [Shape(kept.map { bottom[$0] })])
  }

  /// The axes before stay.
  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    let top = try? shapes(of: bottoms).tops[0]
    return top.map { $0.rank > axis && $0.dims[...axis] == bottoms[0].dims[...axis] } == true ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    _ = binding.topViewing(binding.bottom(0), 0)
    binding.backwardReads()
    return ViewRun()
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "all", inputs: [.normal([2, 1, 3, 1])], #"layer { name: "s" type: "Squeeze" bottom: "in0" top: "s" }"#),
    LayerExample(
      "the last", inputs: [.normal([2, 1, 3, 1])],
      #"layer { name: "s" type: "Squeeze" bottom: "in0" top: "s" squeeze_param { axis: -1 } }"#),
  ]
}
