import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// An inner product whose labelled class gets an angular margin: what LargeMarginInnerProduct and MarginInnerProduct have
/// in common.
///
/// Bottoms: features M x K (all axes from `axis` on are joined), labels M. Tops: scores M x classes; optionally lambda (1).
/// The labelled score is (lambda |w| |x| cos t + |w| |x| psi(t)) / (1 + lambda) with lambda = max(`lambdaMin`, `base` (1 +
/// `gamma` i)^-`power`), i counting the passes from `iteration` + 1 on. Parameter: weights classes x K. A record whose label
/// is NaN gets plain scores, and so does one without an angle, where either vector has length 0.
struct AngularMarginProduct: Sendable {
  var classes: UInt32
  var axis: Int32
  var margin: AngularMargin
  var base: Float
  var gamma: Float
  var power: Float
  var iteration: Int32
  var lambdaMin: Float
  var filler: FillerParameter
  /// Every pass sets the weights to length 1. Then their gradient is that of a plain inner product, and the labelled
  /// class's share of the features' gradient is divided by its length, as in SphereFace.
  var hasUnitWeights: Bool

  private func labels(_ bottoms: [Shape], _ fields: LayerFields) throws -> ClassLabels {
    let axis = try bottoms[0].canonicalAxis(Int(axis))
    return try ClassLabels(
      fields, scores: [bottoms[0].count(..<axis), Int(classes)], labels: bottoms[1], axis: 1, ignored: nil)
  }

  func shapes(of bottoms: [Shape], _ fields: LayerFields) throws -> LayerShapes {
    let labels = try labels(bottoms, fields)
    let axis = try bottoms[0].canonicalAxis(Int(axis))
    let scores = Shape(Array(bottoms[0].dims[..<axis]) + [labels.classes])
    let weights = ParameterDefinition(
      name: "weights", shape: [labels.classes, bottoms[0].count(axis...)], filler: filler)
    return LayerShapes(tops: fields.parameter.top.count > 1 ? [scores, [1]] : [scores], parameters: [weights])
  }

  func bind(_ binding: LayerBinding, _ fields: LayerFields) throws -> any LayerRun {
    let bottoms = [binding.bottom(0), binding.bottom(1)]
    binding.backwardReads(bottoms: bottoms)
    return Run(
      binding, self, try labels(binding.bottomShapes, fields), bottoms[0], bottoms[1], binding.top(0),
      binding.topShapes.count > 1 ? binding.top(1) : nil)
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let draws: LayerDraws
    private let product: AngularMarginProduct
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
      _ binding: LayerBinding, _ product: AngularMarginProduct, _ labels: ClassLabels, _ features: Blob,
      _ targets: Blob, _ scores: Blob, _ lambdaTop: Blob?
    ) {
      engine = binding.engine
      draws = binding.draws
      weights = binding.parameters[0]
      learns = binding.learns[0]
      self.product = product
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
      let iteration = Float(Int(product.iteration) + draws.pass + 1)
      lambda = max(product.base * powf(1 + product.gamma * iteration, -product.power), product.lambdaMin)
      lambdaTop?.values[0] = lambda
      if product.hasUnitWeights { normalizeWeights() }
      engine.multiply(
        MatrixProduct(m: labels.outer, n: labels.classes, k: width, transposeB: true), features.values, weights.values,
        scores.values)
      guard product.margin.factor > 1 else { return }
      for n in 0..<labels.outer {
        guard let label = try labels.label(targets.values, n) else { continue }
        let score = scores.values + n * labels.classes + label
        let lengths = length(features.values + n * width) * length(weights.values + label * width)
        guard lengths > 0 else { continue }
        score[0] = (lengths * product.margin.psi(score[0] / lengths).value + lambda * score[0]) / (1 + lambda)
      }
    }

    private func normalizeWeights() {
      for row in 0..<labels.classes {
        let w = weights.values + row * width
        let length = length(w)
        let factor = length > 0 ? 1 / length : 0
        for i in 0..<width { w[i] *= factor }
      }
      weights.touch()
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
        try addMargin(cutsLength: product.hasUnitWeights) { n, label in
          (features.gradients + n * width, features.values + n * width, weights.values + label * width)
        }
      }
      guard learns else { return }
      try weights.accumulate { sums, isFirst in
        engine.multiply(
          MatrixProduct(m: labels.classes, n: width, k: labels.outer, transposeA: true, beta: isFirst ? 0 : 1), dy,
          features.values, sums)
        guard !product.hasUnitWeights else { return }
        try addMargin(cutsLength: false) { n, label in
          (sums + label * width, weights.values + label * width, features.values + n * width)
        }
      }
    }

    /// Of the labelled scores, what the margin adds to the gradient of one factor, `own`, the other being `other`:
    /// d(|own| |other| psi) = psi' other + (psi - psi' c) |other| / |own| own, less the plain product's.
    ///
    /// - Parameter cutsLength: whether that gradient is first made as long as `other` is, which is 1.
    private func addMargin(
      cutsLength: Bool,
      to vectors: (_ n: Int, _ label: Int) -> (
        gradient: UnsafeMutablePointer<Float>, own: UnsafeMutablePointer<Float>, other: UnsafeMutablePointer<Float>
      )
    ) throws {
      guard product.margin.factor > 1 else { return }
      for n in 0..<labels.outer {
        guard let label = try labels.label(targets.values, n) else { continue }
        let (sums, own, other) = vectors(n, label)
        let (ownLength, otherLength) = (length(own), length(other))
        guard ownLength * otherLength > 0 else { continue }
        let c = Float(engine.vectors.dot(width, own, other)) / (ownLength * otherLength)
        let (value, slope) = product.margin.psi(c)
        let factor = scores.gradients[n * labels.classes + label] / (1 + lambda)
        let alongOwn = (value - slope * c) * otherLength / ownLength
        let norm = cutsLength ? (slope * slope + alongOwn * alongOwn).squareRoot() : 1
        for i in 0..<width { sums[i] += factor * (slope / norm * other[i] + alongOwn / norm * own[i] - other[i]) }
      }
    }
  }

  /// For each `type`, of layer `layer` with its fields in `message`.
  static func examples(_ layer: String, _ message: String, checksGradient: Bool) -> [LayerExample] {
    [("SINGLE", 1), ("DOUBLE", 1), ("TRIPLE", 2), ("QUADRUPLE", 1)].map { kind, power in
      LayerExample(
        kind.lowercased(), inputs: [.normal([5, 6]), .labels([5], classes: 4)],
        """
        layer { name: "m" type: "\(layer)" bottom: "in0" bottom: "in1" top: "m" top: "lambda"
          \(message) { num_output: 4 type: \(kind) base: 5 gamma: 0.12 power: \(power) lambda_min: 2
            weight_filler { type: "gaussian" std: 1 } } }
        """, checksGradient: checksGradient)
    }
  }
}
