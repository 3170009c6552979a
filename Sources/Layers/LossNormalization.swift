import CaffeSchema
import Nets

extension LossParameter {
  /// What `normalization` says, or the older `normalize`: true is VALID, false BATCH_SIZE.
  func effectiveNormalization(default standard: NormalizationMode) -> NormalizationMode {
    if hasNormalization { return normalization }
    if hasNormalize { return normalize ? .valid : .batchSize }
    return standard
  }
}

extension LossParameter.NormalizationMode {
  /// What a sum of losses is divided by; at least 1, so that a batch without labels gives 0.
  func divisor(labelled: Int, positions: Int, batch: Int) -> Float {
    switch self {
    case .valid: Float(max(1, labelled))
    case .full: Float(max(1, positions))
    case .batchSize: Float(max(1, batch))
    case .none: 1
    }
  }
}
