import Glibc
import Nets

/// What the focal loss makes of the probability p of the right class (Lin, Goyal, Girshick, He, Dollár, ICCV 2017):
/// -`alpha` (1 - p)^`gamma` ln p.
struct FocalCost: Sendable {
  private let alpha: Float
  private let gamma: Float

  /// - Throws: `badParameter` for a negative `gamma`, `unsupported` for what single forks have besides.
  init(_ fields: LayerFields) throws {
    let param = fields.parameter.focalLossParam
    try fields.refuse(param.type != .origin, "focal_loss_param.type", "ORIGIN is")
    try fields.refuse(param.hasBeta && param.beta != 1, "focal_loss_param.beta", "ORIGIN has none")
    guard param.gamma >= 0 else { throw fields.fault("gamma must not be below 0", at: "focal_loss_param.gamma") }
    (alpha, gamma) = (param.alpha, param.gamma)
  }

  /// -ln p, bounded.
  static func crossEntropy(_ probability: Float) -> Float {
    -logf(probability < .leastNormalMagnitude ? .leastNormalMagnitude : probability)
  }

  func cost(_ probability: Float) -> Float {
    alpha * powf(1 - probability, gamma) * FocalCost.crossEntropy(probability)
  }

  /// The derivative of the cost by the score of class c is this times ([c is the right one] - probability of c).
  func slope(_ probability: Float) -> Float {
    let rest = 1 - probability < .leastNormalMagnitude ? .leastNormalMagnitude : 1 - probability
    return -alpha
      * (gamma * powf(rest, gamma - 1) * probability * FocalCost.crossEntropy(probability) + powf(rest, gamma))
  }
}
