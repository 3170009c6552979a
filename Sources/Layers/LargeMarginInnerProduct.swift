import CaffeSchema
import Nets
import Tensors

/// The large margin of L-Softmax (Liu, Wen, Yu, Yang, ICML 2016): scores |w| |x| cos t, where the labelled class has |w| |x|
/// psi(t) mixed in; see `AngularMargin`. MarginInnerProduct does the same with weights of length 1.
///
/// Bottoms: features M x K (all axes from `axis` on are joined), labels M. Tops: scores M x `num_output`; optionally
/// lambda (1). `type` SINGLE, DOUBLE, TRIPLE or QUADRUPLE is m = 1 … 4. The labelled score is (lambda w x + |w| |x| psi(t))
/// / (1 + lambda) with lambda = max(`lambda_min`, `base` (1 + `gamma` i)^-`power`), i counting the passes from `iteration`
/// + 1 on. Parameter: weights num_output x K. A record whose label is NaN gets plain scores, and
/// so does one without an angle, where either vector has length 0.
package struct LargeMarginInnerProduct: Layer {
  package static let type = "LargeMarginInnerProduct"
  package static let parameterFields: [String]? = ["largemargin_inner_product_param"]
  package static let bottomCount = 2...2
  package static let topCount = 1...2

  private let fields: LayerFields
  private let product: AngularMarginProduct

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.largemarginInnerProductParam
    guard param.numOutput > 0 else {
      throw fields.fault("num_output must be at least 1", at: "largemargin_inner_product_param.num_output")
    }
    self.fields = fields
    product = AngularMarginProduct(
      classes: param.numOutput, axis: param.axis, margin: AngularMargin(factor: param.type.rawValue + 1),
      base: param.base, gamma: param.gamma, power: param.power, iteration: param.iteration, lambdaMin: param.lambdaMin,
      filler: param.weightFiller, hasUnitWeights: false)
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try product.shapes(of: bottoms, fields) }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try product.bind(binding, fields) }

  package static let examples = AngularMarginProduct.examples(
    type, "largemargin_inner_product_param", checksGradient: true)
}
