import CaffeSchema
import Compute
import Diagnostics
import Glibc
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
  private let param: MarginInnerProductParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.marginInnerProductParam
    guard param.numOutput > 0 else {
      throw fields.fault("num_output must be at least 1", at: "margin_inner_product_param.num_output")
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
    let bytes = labels.outer * MemoryLayout<Float>.stride
    return Run(
      binding, param, labels, bottoms[0], bottoms[1], binding.top(0),
      binding.topShapes.count > 1 ? binding.top(1) : nil, lengths: binding.workspace(bytes),
      cosines: binding.workspace(bytes))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let draws: LayerDraws
    private let param: MarginInnerProductParameter
    private let margin: AngularMargin
    private let labels: ClassLabels
    private let features: Blob
    private let targets: Blob
    private let scores: Blob
    private let lambdaTop: Blob?
    private let weights: Parameter
    private let learns: Bool
    /// Of each record: |x|, and the cosine at its label.
    private let lengths: Region
    private let cosines: Region
    private let width: Int
    private var lambda: Float = 0

    init(
      _ binding: LayerBinding, _ param: MarginInnerProductParameter, _ labels: ClassLabels, _ features: Blob,
      _ targets: Blob, _ scores: Blob, _ lambdaTop: Blob?, lengths: Region, cosines: Region
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
      self.lengths = lengths
      self.cosines = cosines
      width = weights.shape[1]
    }

    private func floats(_ region: Region) -> UnsafeMutablePointer<Float> {
      region.pointer.assumingMemoryBound(to: Float.self)
    }

    func forward() throws {
      let iteration = Float(Int(param.iteration) + draws.pass + 1)
      lambda = max(param.base * powf(1 + param.gamma * iteration, -param.power), param.lambdaMin)
      lambdaTop?.values[0] = lambda
      for row in 0..<labels.classes {
        let w = weights.values + row * width
        let square = Float(engine.vectors.dot(width, w, w))
        let factor = square > 0 ? 1 / square.squareRoot() : 0
        for i in 0..<width { w[i] *= factor }
      }
      weights.touch()
      engine.multiply(
        MatrixProduct(m: labels.outer, n: labels.classes, k: width, transposeB: true), features.values, weights.values,
        scores.values)
      let (length, cosine) = (floats(lengths), floats(cosines))
      for n in 0..<labels.outer {
        let x = features.values + n * width
        length[n] = Float(engine.vectors.dot(width, x, x)).squareRoot()
        guard param.type != .single, length[n] > 0, let label = try labels.label(targets.values, n) else { continue }
        let score = scores.values + n * labels.classes + label
        cosine[n] = score[0] / length[n]
        score[0] = (length[n] * margin.psi(cosine[n]).value + lambda * score[0]) / (1 + lambda)
      }
    }

    func backward() throws {
      guard scores.hasGradient else {
        if features.hasGradient { features.gradients.update(repeating: 0, count: features.count) }
        return
      }
      let dy = scores.gradients
      if learns {
        weights.accumulate { sums, isFirst in
          engine.multiply(
            MatrixProduct(m: labels.classes, n: width, k: labels.outer, transposeA: true, beta: isFirst ? 0 : 1), dy,
            features.values, sums)
        }
      }
      guard features.hasGradient else { return }
      engine.multiply(
        MatrixProduct(m: labels.outer, n: width, k: labels.classes), dy, weights.values, features.gradients)
      guard param.type != .single else { return }
      for n in 0..<labels.outer {
        guard floats(lengths)[n] > 0, let label = try labels.label(targets.values, n) else { continue }
        turn(n, label, dy[n * labels.classes + label] / (1 + lambda))
      }
    }

    /// Puts the gradient of |x| psi, made as long as a weight, in the place of the labelled weight's.
    private func turn(_ n: Int, _ label: Int, _ gradient: Float) {
      let (length, c) = (floats(lengths)[n], floats(cosines)[n])
      let (value, slope) = margin.psi(c)
      // d(|x| psi) = psi' w + (psi - psi' c) x / |x|
      let alongX = (value - slope * c) / length
      let norm = (slope * slope + alongX * alongX).squareRoot()
      let (w, x, dx) = (weights.values + label * width, features.values + n * width, features.gradients + n * width)
      for i in 0..<width { dx[i] += gradient * (slope / norm * w[i] + alongX / norm * x[i] - w[i]) }
    }
  }

  package static let examples: [LayerExample] = ["SINGLE", "DOUBLE", "TRIPLE", "QUADRUPLE"].map { kind in
    LayerExample(
      kind.lowercased(), inputs: [.normal([5, 6]), .labels([5], classes: 4)],
      """
      layer { name: "m" type: "MarginInnerProduct" bottom: "in0" bottom: "in1" top: "m" top: "lambda"
        margin_inner_product_param { num_output: 4 type: \(kind) base: 5 gamma: 0.12 lambda_min: 2
          weight_filler { type: "gaussian" std: 1 } } }
      """, checksGradient: false)
  }
}
