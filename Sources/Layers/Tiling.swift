import Diagnostics
import Nets
import Tensors

/// Space from channels: N x C x H x W to N x C / t^2 x H t x W t, t being `tile_dim`; channel (c t + i) t + j of the bottom
/// goes to row i and column j of each tile. Of a fork for detection (also in Zhu et al., CVPR 2016).
package struct Tiling: Layer {
  package static let type = "Tiling"
  package static let parameterFields: [String]? = ["tiling_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let side: Int

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    side = Int(fields.parameter.tilingParam.tileDim)
    guard (1...4096).contains(side) else {
      throw fields.fault("tile_dim must be 1 to 4096", at: "tiling_param.tile_dim")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank == 4, bottoms[0][1] % (side * side) == 0 else {
      throw fields.fault(
        .badShape,
        "needs a bottom N x C x H x W whose channels are a multiple of \(side * side), but it is \(bottoms[0])")
    }
    return LayerShapes(tops: [
      [bottoms[0][0], bottoms[0][1] / (side * side), bottoms[0][2] * side, bottoms[0][3] * side]
    ])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let shape = binding.bottomShapes[0]
    return Rearrangement([shape[0] * shape[1] / (side * side), side, side, shape[2], shape[3]]).permuted([
      0, 3, 1, 4, 2,
    ])
    .bind(binding)
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "2x2 tiles", inputs: [.normal([2, 8, 3, 2])],
      #"layer { name: "t" type: "Tiling" bottom: "in0" top: "t" tiling_param { tile_dim: 2 } }"#)
  ]
}
