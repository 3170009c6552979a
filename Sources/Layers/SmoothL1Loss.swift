import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// The smooth L1 loss (Girshick, ICCV 2015): with d = a - b, sum over the values of d^2 sigma^2 / 2 where |d| < 1 /
/// sigma^2, |d| - 1 / (2 sigma^2) elsewhere; over N, the batch.
///
/// Bottoms: a and b of one shape; optionally weights on d ('inside'), and on the cost ('outside'). a and b take a
/// gradient. `loss_param { normalization }` divides as the R-FCN fork does: by the positions (VALID, FULL), N
/// (BATCH_SIZE), `pre_fixed_normalizer` (PRE_FIXED) or not at all (NONE). A NaN in b means 'not labelled' and counts for
/// nothing; N then counts the records that have a label, VALID the positions that have one in any channel. Unlike the SSD and R-FCN forks, whose gradient leaves out the
/// inside weights, which matters only where these are neither 0 nor 1.
package struct SmoothL1Loss: NormalizedLoss {
  package static let type = "SmoothL1Loss"
  package static let parameterFields: [String]? = ["smooth_l1_loss_param", "loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...4
  package static let topCount = 1...1

  private let fields: LayerFields
  private let square: Float
  private let normalization: LossNormalization
  /// Whether the sum is divided as `normalization` says though it is not given.
  private let dividesByPositions: Bool

  package init(_ fields: LayerFields) throws { try self.init(fields, dividesByPositions: false) }

  init(_ fields: LayerFields, dividesByPositions: Bool) throws {
    self.fields = fields
    self.dividesByPositions = dividesByPositions
    normalization = try LossNormalization(fields, default: .valid)
    try fields.refuse(
      fields.parameter.lossParam.hasIgnoreLabel, "loss_param.ignore_label", "mark values without a target with NaN")
    try fields.refuse(!fields.parameter.smoothL1LossParam.abssum, "smooth_l1_loss_param.abssum", "the cost is added up")
    let sigma = fields.parameter.smoothL1LossParam.sigma
    square = sigma * sigma
    guard square > 0 else { throw fields.fault("sigma must not be 0", at: "smooth_l1_loss_param.sigma") }
  }

  package var normalizationMode: LossParameter.NormalizationMode { normalization.mode }

  package func takesGradient(bottom index: Int) -> Bool { index < 2 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    if let other = bottoms.first(where: { $0.count != bottoms[0].count || $0.extent(0) != bottoms[0].extent(0) }) {
      throw fields.fault(.badShape, "all bottoms must be of one shape, but they are \(bottoms[0]) and \(other)")
    }
    return LayerShapes(tops: [.scalar])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .counted : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { bind(binding, costs: nil) }

  /// - Parameter costs: the top that takes each position's cost.
  func bind(_ binding: LayerBinding, costs: Int?) -> any LayerRun {
    let square = square
    return DistanceRun(
      binding,
      cost: { d in
        let magnitude = abs(d)
        return magnitude < 1 / square ? 0.5 * d * d * square : magnitude - 0.5 / square
      },
      slope: { d in abs(d) < 1 / square ? d * square : d > 0 ? 1 : d < 0 ? -1 : d },
      divisor: divisor, costs: costs)
  }

  private var divisor: LossNormalization? {
    let param = fields.parameter.lossParam
    return param.hasNormalization || param.hasNormalize || dividesByPositions ? normalization : nil
  }

  package static let examples: [LayerExample] = [
    example("plain", 2, "loss_weight: 2"),
    example("with sigma", 2, "smooth_l1_loss_param { sigma: 3 }"),
    example("with weights", 3, ""),
    LayerExample(
      "positions", inputs: [.normal([3, 2, 2, 2]), .normal([3, 2, 2, 2])],
      """
      layer { name: "loss" type: "SmoothL1Loss" bottom: "in0" bottom: "in1" top: "loss" loss_param { normalize: true } }
      """),
    example("inside and outside weights", 4, "loss_param { normalization: BATCH_SIZE }"),
  ]

  private static func example(_ name: String, _ count: Int, _ more: String) -> LayerExample {
    let bottoms = (0..<count).map { #"bottom: "in\#($0)""# }.joined(separator: " ")
    return LayerExample(
      name, inputs: [.normal([4, 6]), .normal([4, 6])] + (2..<max(2, count)).map { _ in .uniform([4, 6], 0...2) },
      #"layer { name: "loss" type: "SmoothL1Loss" \#(bottoms) top: "loss" \#(more) }"#)
  }
}
