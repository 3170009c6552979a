import CaffeSchema
import Nets
import Tensors

/// The angular margin of SphereFace (Liu et al., CVPR 2017): scores |x| cos t against weights of length 1, where the
/// labelled class has |x| psi(t) mixed in, psi(t) = (-1)^k cos(m t) - 2 k for t in [k pi / m, (k + 1) pi / m].
///
/// Bottoms: features M x K (all axes from `axis` on are joined), labels M. Tops: scores M x `num_output`; optionally
/// lambda (1). `type` SINGLE, DOUBLE, TRIPLE or QUADRUPLE is m = 1 … 4. The labelled score is (lambda |x| cos t + |x|
/// psi(t)) / (1 + lambda) with lambda = max(`lambda_min`, `base` (1 + `gamma` i)^-`power`), i counting the passes from
/// `iteration` + 1 on. Parameter: weights num_output x K, whose rows every pass sets to length 1. As in the original, the
/// weights' gradient is that of a plain inner product, and the labelled class's share of the features' gradient is
/// divided by its length. A record whose label is NaN gets plain
/// scores, and so does one of length 0, which has no angle.
package struct MarginInnerProduct: Layer {
  package static let type = "MarginInnerProduct"
  package static let parameterFields: [String]? = ["margin_inner_product_param"]
  package static let bottomCount = 2...2
  package static let topCount = 1...2

  private let fields: LayerFields
  private let product: AngularMarginProduct

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.marginInnerProductParam
    guard param.numOutput > 0 else {
      throw fields.fault("num_output must be at least 1", at: "margin_inner_product_param.num_output")
    }
    self.fields = fields
    product = AngularMarginProduct(
      classes: param.numOutput, axis: param.axis, margin: AngularMargin(factor: param.type.rawValue + 1),
      base: param.base, gamma: param.gamma, power: param.power, iteration: param.iteration, lambdaMin: param.lambdaMin,
      filler: param.weightFiller, hasUnitWeights: true)
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try product.shapes(of: bottoms, fields) }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try product.bind(binding, fields) }

  package static let examples = AngularMarginProduct.examples(
    type, "margin_inner_product_param", checksGradient: false)
}
