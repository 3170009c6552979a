import CaffeSchema
import Nets
import Tensors

/// MultiBoxLoss with the focal loss of the classes (Lin, Goyal, Girshick, He, Dollár, ICCV 2017), as chuanqi305/FocalLoss
/// has it for SSD: `mining_type: NONE` takes all boxes, of which the easy ones weigh little.
///
/// A class costs -`alpha` (1 - p)^`gamma` ln p, p being its probability, with `conf_loss_type: SOFTMAX`; LOGISTIC stays as
/// it is, and so does what boxes are mined by. Everything else is as in MultiBoxLoss.
package struct MultiBoxFocalLoss: NormalizedLoss {
  package static let type = "MultiBoxFocalLoss"
  package static let parameterFields: [String]? = ["multibox_loss_param", "focal_loss_param", "loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 4...4
  package static let topCount = 1...1

  private let loss: MultiBoxLoss

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.focalLossParam
    try fields.refuse(param.hasAxis && param.axis != 1, "focal_loss_param.axis", "a box's classes lie side by side")
    loss = try MultiBoxLoss(fields, focal: FocalCost(fields))
  }

  package var normalizationMode: LossParameter.NormalizationMode { loss.normalizationMode }

  package func takesGradient(bottom index: Int) -> Bool { loss.takesGradient(bottom: index) }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try loss.shapes(of: bottoms) }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try loss.bind(binding) }

  package static let examples: [LayerExample] =
    MultiBoxLoss.examples.map { example in
      var copy = example
      copy.prototxt = example.prototxt.replacing(#"type: "MultiBoxLoss""#, with: #"type: "MultiBoxFocalLoss""#)
      return copy
    } + [
      MultiBoxLoss.example(
        "other weights", type: type, "mining_type: NONE code_type: CENTER_SIZE",
        "focal_loss_param { alpha: 1 gamma: 1.5 }")
    ]
}
