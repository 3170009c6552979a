import Diagnostics
import Nets
import Tensors

/// SmoothL1Loss with a second top, the cost of each position summed over its channels, N x 1 x H x W: what R-FCN picks
/// hard examples by (Shrivastava, Gupta, Girshick, CVPR 2016; the R-FCN fork of Caffe).
///
/// Bottoms: a and b, N x C x H x W; optionally weights on a - b. Parameters and gradient are those of SmoothL1Loss, with
/// the sum divided by all positions unless `loss_param` says otherwise. Nothing comes back through the costs.
package struct SmoothL1LossOHEM: Layer {
  package static let type = "SmoothL1LossOHEM"
  package static let parameterFields: [String]? = ["smooth_l1_loss_param", "loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...3
  package static let topCount = 1...2

  private let loss: SmoothL1Loss
  private let givesCosts: Bool

  package init(_ fields: LayerFields) throws {
    loss = try SmoothL1Loss(fields, dividesByPositions: true)
    givesCosts = fields.parameter.top.count > 1
  }

  package func takesGradient(bottom index: Int) -> Bool { index < 2 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    var shapes = try loss.shapes(of: bottoms)
    if givesCosts {
      var costs = bottoms[0]
      if costs.rank > 1 { costs[1] = 1 }
      shapes.tops.append(costs)
    }
    return shapes
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == 0 ? RowwiseBlobs(tops: [1]) : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { loss.bind(binding, costs: givesCosts ? 1 : nil) }

  package static let examples: [LayerExample] = [
    LayerExample(
      "loss alone", inputs: [.normal([4, 6]), .normal([4, 6])],
      #"layer { name: "loss" type: "SmoothL1LossOHEM" bottom: "in0" bottom: "in1" top: "loss" }"#),
    LayerExample(
      "a smaller rounding", inputs: [.normal([4, 6]), .normal([4, 6])],
      """
      layer { name: "loss" type: "SmoothL1LossOHEM" bottom: "in0" bottom: "in1" top: "loss"
        smooth_l1_loss_param { sigma: 2 } }
      """),
    LayerExample(
      "positions", inputs: [.normal([3, 2, 2, 2]), .normal([3, 2, 2, 2])],
      #"layer { name: "loss" type: "SmoothL1LossOHEM" bottom: "in0" bottom: "in1" top: "loss" }"#),
    LayerExample(
      "weights and costs", inputs: [.normal([3, 4, 2, 2]), .normal([3, 4, 2, 2]), .uniform([3, 4, 2, 2], 0...2)],
      """
      layer { name: "loss" type: "SmoothL1LossOHEM" bottom: "in0" bottom: "in1" bottom: "in2" top: "loss" top: "costs"
        loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 5 } }
      """, checksGradient: false),
  ]
}
