import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Mixes the channels of `group` groups (ShuffleNet: Zhang et al., CVPR 2018): channel g n + i, of group g of n channels,
/// becomes channel i group + g.
package struct ShuffleChannel: Layer {
  package static let type = "ShuffleChannel"
  package static let parameterFields: [String]? = ["shuffle_channel_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let groups: Int

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    groups = Int(fields.parameter.shuffleChannelParam.group)
    guard groups > 0 else { throw fields.fault("group must be at least 1", at: "shuffle_channel_param.group") }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank >= 2, bottoms[0][1] % groups == 0 else {
      throw fields.fault(
        .badShape, "the channels of the bottom \(bottoms[0]) are not a multiple of group \(groups)",
        at: "shuffle_channel_param.group")
    }
    return LayerShapes(tops: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let b = binding.bottomShapes[0]
    return Rearrangement([b[0], groups, b[1] / groups, b.count(2...)]).permuted([0, 2, 1, 3]).bind(binding)
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two groups", inputs: [.normal([2, 6, 2, 3])],
      #"layer { name: "s" type: "ShuffleChannel" bottom: "in0" top: "s" shuffle_channel_param { group: 2 } }"#)
  ]
}
