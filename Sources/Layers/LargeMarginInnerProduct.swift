import CaffeSchema
import Compute
import Diagnostics
import Glibc
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
  private let param: LargeMarginInnerProductParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.largemarginInnerProductParam
    guard param.numOutput > 0 else {
      throw fields.fault("num_output must be at least 1", at: "largemargin_inner_product_param.num_output")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  private func labels(_ bottoms: [Shape]) throws -> ClassLabels {
    let axis = try bottoms[0].canonicalAxis(Int(param.axis))
    return try ClassLabels(
      fields, scores: [bottoms[0].count(..<axis), Int(param.numOutput)], labels: bottoms[1], axis: 1, ignored: nil)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let labels = try labels(bottoms)
    let axis = try bottoms[0].canonicalAxis(Int(param.axis))
    let scores = Shape(Array(bottoms[0].dims[..<axis]) + [labels.classes])
    let weights = ParameterDefinition(
      name: "weights", shape: [labels.classes, bottoms[0].count(axis...)], filler: param.weightFiller)
    return LayerShapes(tops: fields.parameter.top.count > 1 ? [scores, [1]] : [scores], parameters: [weights])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottoms = [binding.bottom(0), binding.bottom(1)]
    binding.backwardReads(bottoms: bottoms)
    let labels = try labels(binding.bottomShapes)
    return Run(
      binding, param, labels, bottoms[0], bottoms[1], binding.top(0),
      binding.topShapes.count > 1 ? binding.top(1) : nil)
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let draws: LayerDraws
    private let param: LargeMarginInnerProductParameter
    private let margin: AngularMargin
    private let labels: ClassLabels
    private let features: Blob
    private let targets: Blob
    private let scores: Blob
    private let lambdaTop: Blob?
    private let weights: Parameter
    private let learns: Bool
    private let width: Int
    private var lambda: Float = 0

    init(
      _ binding: LayerBinding, _ param: LargeMarginInnerProductParameter, _ labels: ClassLabels, _ features: Blob,
      _ targets: Blob, _ scores: Blob, _ lambdaTop: Blob?
    ) {
      engine = binding.engine
      draws = binding.draws
      weights = binding.parameters[0]
      learns = binding.learns[0]
      self.param = param
      margin = AngularMargin(factor: param.type.rawValue + 1)
      self.labels = labels
      self.features = features
      self.targets = targets
      self.scores = scores
      self.lambdaTop = lambdaTop
      width = weights.shape[1]
    }

    private func length(_ x: UnsafePointer<Float>) -> Float {
      Float(engine.vectors.dot(width, x, x)).squareRoot()
    }

    func forward() throws {
      let iteration = Float(Int(param.iteration) + draws.pass + 1)
      lambda = max(param.base * powf(1 + param.gamma * iteration, -param.power), param.lambdaMin)
      lambdaTop?.values[0] = lambda
      engine.multiply(
        MatrixProduct(m: labels.outer, n: labels.classes, k: width, transposeB: true), features.values, weights.values,
        scores.values)
      guard margin.factor > 1 else { return }
      for n in 0..<labels.outer {
        guard let label = try labels.label(targets.values, n) else { continue }
        let score = scores.values + n * labels.classes + label
        let lengths = length(features.values + n * width) * length(weights.values + label * width)
        guard lengths > 0 else { continue }
        score[0] = (lengths * margin.psi(score[0] / lengths).value + lambda * score[0]) / (1 + lambda)
      }
    }

    func backward() throws {
      guard scores.hasGradient else {
        if features.hasGradient { features.gradients.update(repeating: 0, count: features.count) }
        return
      }
      let dy = scores.gradients
      if features.hasGradient {
        engine.multiply(
          MatrixProduct(m: labels.outer, n: width, k: labels.classes), dy, weights.values, features.gradients)
        try addMargin { n, label in
          (features.gradients + n * width, features.values + n * width, weights.values + label * width)
        }
      }
      guard learns else { return }
      try weights.accumulate { sums, isFirst in
        engine.multiply(
          MatrixProduct(m: labels.classes, n: width, k: labels.outer, transposeA: true, beta: isFirst ? 0 : 1), dy,
          features.values, sums)
        try addMargin { n, label in (sums + label * width, weights.values + label * width, features.values + n * width)
        }
      }
    }

    /// Of the labelled scores, what the margin adds to the gradient of one factor, `own`, the other being `other`:
    /// d(|own| |other| psi) = psi' other + (psi - psi' c) |other| / |own| own, less the plain product's.
    private func addMargin(
      to vectors: (_ n: Int, _ label: Int) -> (
        gradient: UnsafeMutablePointer<Float>, own: UnsafeMutablePointer<Float>, other: UnsafeMutablePointer<Float>
      )
    ) throws {
      guard margin.factor > 1 else { return }
      for n in 0..<labels.outer {
        guard let label = try labels.label(targets.values, n) else { continue }
        let (sums, own, other) = vectors(n, label)
        let (ownLength, otherLength) = (length(own), length(other))
        guard ownLength * otherLength > 0 else { continue }
        let c = Float(engine.vectors.dot(width, own, other)) / (ownLength * otherLength)
        let (value, slope) = margin.psi(c)
        let factor = scores.gradients[n * labels.classes + label] / (1 + lambda)
        let alongOwn = (value - slope * c) * otherLength / ownLength
        for i in 0..<width { sums[i] += factor * ((slope - 1) * other[i] + alongOwn * own[i]) }
      }
    }
  }

  package static let examples: [LayerExample] = ["SINGLE", "DOUBLE", "TRIPLE", "QUADRUPLE"].map { kind in
    LayerExample(
      kind.lowercased(), inputs: [.normal([5, 6]), .labels([5], classes: 4)],
      """
      layer { name: "m" type: "LargeMarginInnerProduct" bottom: "in0" bottom: "in1" top: "m" top: "lambda"
        largemargin_inner_product_param { num_output: 4 type: \(kind) base: 5 gamma: 0.12 lambda_min: 2
          weight_filler { type: "gaussian" std: 1 } } }
      """)
  }
}
