import Nets
import Tensors

/// SoftmaxWithLoss with a third top, the cost of each position in the shape of the labels: what R-FCN picks hard examples
/// by (Shrivastava, Gupta, Girshick, CVPR 2016; the R-FCN fork of Caffe). Positions without a label cost 0.
///
/// Bottoms, parameters and gradient are those of SoftmaxWithLoss. Tops: the loss; optionally the probabilities and the
/// costs, through which nothing comes back.
package struct SoftmaxWithLossOHEM: Layer {
  package static let type = "SoftmaxWithLossOHEM"
  package static let parameterFields: [String]? = ["softmax_param", "loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...3

  private let loss: SoftmaxWithLoss
  private let givesCosts: Bool

  package init(_ fields: LayerFields) throws {
    loss = try SoftmaxWithLoss(fields)
    givesCosts = fields.parameter.top.count > 2
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    var shapes = try loss.shapes(of: bottoms)
    if givesCosts { shapes.tops.append(bottoms[1]) }
    return shapes
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    loss.rowwise(bottoms, along: axis) == nil ? nil : RowwiseBlobs(tops: [1, 2])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    try loss.bind(binding, costs: givesCosts ? 2 : nil)
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "loss alone", inputs: [.normal([4, 5]), .labels([4], classes: 5)],
      #"layer { name: "loss" type: "SoftmaxWithLossOHEM" bottom: "in0" bottom: "in1" top: "loss" }"#),
    LayerExample(
      "with costs", inputs: [.normal([2, 3, 2, 2]), .labels([2, 1, 2, 2], classes: 3)],
      """
      layer { name: "loss" type: "SoftmaxWithLossOHEM" bottom: "in0" bottom: "in1" top: "loss" top: "p" top: "costs"
        loss_param { ignore_label: 1 } }
      """, checksGradient: false),
  ]
}
