import CaffeSchema
import Nets

/// What a loss's sum is divided by: `loss_param { normalization }`, or the older `normalize`, whose true is VALID and
/// false BATCH_SIZE.
struct LossNormalization: Sendable {
  let mode: LossParameter.NormalizationMode
  private let fixed: Float

  /// - Throws: `badParameter` for a divisor that is not above 0, `unsupported` for the weights that some forks have here.
  ///
  /// - Parameter weightsClasses: whether the layer honours `class_weighting`.
  init(
    _ fields: LayerFields, default standard: LossParameter.NormalizationMode, weightsClasses: Bool = false
  ) throws {
    let param = fields.parameter.lossParam
    mode =
      param.hasNormalization
      ? param.normalization : param.hasNormalize ? param.normalize ? .valid : .batchSize : standard
    fixed = param.preFixedNormalizer
    guard mode != .preFixed || fixed > 0 else {
      throw fields.fault("pre_fixed_normalizer must be above 0", at: "loss_param.pre_fixed_normalizer")
    }
    let weights = "classes are weighted equally; InfogainLoss with a diagonal matrix weights them"
    if weightsClasses {
      guard param.weightByLabelFreqs != param.classWeighting.isEmpty else {
        throw fields.fault(
          "weight_by_label_freqs: true and class_weighting, one value for each class, go together",
          at: param.weightByLabelFreqs ? "loss_param.weight_by_label_freqs" : "loss_param.class_weighting[0]")
      }
    } else {
      try fields.refuse(param.weightByLabelFreqs, "loss_param.weight_by_label_freqs", weights)
      try fields.refuse(!param.classWeighting.isEmpty, "loss_param.class_weighting", weights)
    }
    for (isGiven, name) in [
      (param.hasGamma, "gamma"), (param.hasMaxEntropyWeight, "max_entropy_weight"), (param.hasMaxWeight, "max_weight"),
      (param.hasMinWeight, "min_weight"),
    ] {
      try fields.refuse(isGiven, "loss_param.\(name)", weights)
    }
    try fields.refuse(param.adaptiveWeighting, "loss_param.adaptive_weighting", weights)
    try fields.refuse(param.hasScale && param.scale != 1, "loss_param.scale", "give the layer's loss_weight")
  }

  /// What the sum over a batch is divided by: its labelled positions (VALID), all positions of its records (FULL) or
  /// its records (BATCH_SIZE). At least 1, so that a batch without labels gives 0.
  ///
  /// - Parameter positions: of a record.
  func divisor(_ counts: LabelCounts, positions: Int) -> Float {
    switch mode {
    case .valid: Float(max(1, counts.labelled))
    case .full: Float(max(1, counts.records * positions))
    case .batchSize: Float(max(1, counts.records))
    case .none: 1
    case .preFixed: fixed
    }
  }
}

/// How much of a batch has labels.
struct LabelCounts: Equatable {
  /// Positions whose label counts.
  var labelled = 0
  /// Records with a label that is not NaN, be it ignored. Those whose labels are all NaN are as if they were not in the
  /// batch: a loss is what it would be without them.
  var records = 0
}
