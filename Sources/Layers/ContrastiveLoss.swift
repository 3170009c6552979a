import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Draws alike pairs together and unlike ones apart (Hadsell, Chopra, LeCun, CVPR 2006): half the mean of d^2 for alike
/// pairs and max(`margin` - d, 0)^2 for the others, d being their distance.
///
/// Bottoms: two times N x C, and N values that are not 0 for alike pairs, or, of a fork, the N labels of either side,
/// which are equal for alike pairs. Or features N x C and labels N of one batch: records 2i and 2i + 1 are a pair, as a
/// Data layer with a `sampler` draws them, or, with `all_pairs`, any two records. Vectors take a gradient.
/// `legacy_version` costs max(margin - d^2, 0) for unlike pairs. A pair with a NaN label counts for nothing. The gradient
/// divides by d + 1e-4, as Caffe's does; without a labelled pair loss and gradient are 0.
package struct ContrastiveLoss: RefusedLayer {
  package static let type = "ContrastiveLoss"
  package static let parameterFields: [String]? = ["contrastive_loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...4
  package static let topCount = 1...2

  private let fields: LayerFields
  private let param: ContrastiveLossParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.contrastiveLossParam
  }

  package func takesGradient(bottom index: Int) -> Bool {
    index == 0 || index == 1 && fields.parameter.bottom.count > 2
  }

  private func pairs(_ bottoms: [Shape]) throws -> LabelledPairs {
    try LabelledPairs(fields, bottoms, takesAll: param.allPairs)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    _ = try pairs(bottoms)
    // One fork's second top, of which alone the shape is known here.
    return LayerShapes(tops: fields.parameter.top.count > 1 ? [.scalar, [bottoms[0].extent(0)]] : [.scalar])
  }

  package var refusal: Diagnostic? {
    fields.refusal(
      param.outputMatches || fields.parameter.top.count > 1, "contrastive_loss_param.output_matches",
      "the loss is the only top")
      ?? fields.refusal(
        param.allPairs && fields.parameter.bottom.count > 2, "contrastive_loss_param.all_pairs",
        "the bottoms tell the pairs; give features and labels alone")
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    let bottoms = binding.bottomShapes.indices.map { binding.bottom($0) }
    binding.backwardReads(bottoms: bottoms)
    return Run(
      try pairs(binding.bottomShapes).of(bottoms), bottoms.filter(\.hasGradient), binding.top(0), margin: param.margin,
      isLegacy: param.legacyVersion)
  }

  private final class Run: LossRun {
    private let pairs: LabelledPairs
    private let learning: [Blob]
    private let loss: Blob
    private let margin: Float
    private let isLegacy: Bool
    private(set) var labelledCount = 0

    init(_ pairs: LabelledPairs, _ learning: [Blob], _ loss: Blob, margin: Float, isLegacy: Bool) {
      self.pairs = pairs
      self.learning = learning
      self.loss = loss
      self.margin = margin
      self.isLegacy = isLegacy
    }

    func forward() {
      var sum = 0.0
      var count = 0
      pairs.forEach { a, b, isAlike in
        guard let isAlike else { return }
        count += 1
        sum += cost(pairs.squaredDistance(a, b), isAlike: isAlike)
      }
      labelledCount = count
      loss.values[0] = Float(sum / Double(max(1, count)) / 2)
    }

    private func cost(_ square: Float, isAlike: Bool) -> Double {
      if isAlike { return Double(square) }
      if isLegacy { return Double(margin - square < 0 ? 0 : margin - square) }
      let gap = margin - square.squareRoot()
      return gap < 0 ? 0 : Double(gap) * Double(gap)
    }

    func backward() {
      let factor = loss.gradients[0] / Float(max(1, labelledCount))
      for bottom in learning { bottom.gradients.update(repeating: 0, count: bottom.count) }
      pairs.forEach { a, b, isAlike in
        guard let isAlike else { return }
        let slope = slope(pairs.squaredDistance(a, b), isAlike: isAlike)
        guard slope != 0 else { return }
        let (x, y) = (a.blob.values + a.row * pairs.width, b.blob.values + b.row * pairs.width)
        for (side, sign) in [(a, factor), (b, -factor)] where side.blob.hasGradient {
          let gradient = side.blob.gradients + side.row * pairs.width
          for i in 0..<pairs.width { gradient[i] += sign * slope * (x[i] - y[i]) }
        }
      }
    }

    /// The loss's derivative by the difference of a pair, over the difference.
    private func slope(_ square: Float, isAlike: Bool) -> Float {
      if isAlike { return 1 }
      if isLegacy { return margin - square > 0 ? -1 : 0 }
      let distance = square.squareRoot()
      return margin - distance > 0 ? -(margin - distance) / (distance + 1e-4) : 0
    }
  }

  package static let examples: [LayerExample] = [
    example("margin 2", "margin: 2"), example("legacy", "margin: 6 legacy_version: true"),
    LayerExample(
      "labels of both sides",
      inputs: [.normal([6, 4]), .normal([6, 4]), .labels([6], classes: 2), .labels([6], classes: 2)],
      """
      layer { name: "loss" type: "ContrastiveLoss" bottom: "in0" bottom: "in1" bottom: "in2" bottom: "in3" top: "loss"
        contrastive_loss_param { margin: 2 } }
      """),
    oneBatch("pairs of a batch", ""), oneBatch("all pairs", "all_pairs: true"),
  ]

  private static func oneBatch(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([7, 4]), .labels([7], classes: 2)],
      """
      layer { name: "loss" type: "ContrastiveLoss" bottom: "in0" bottom: "in1" top: "loss"
        contrastive_loss_param { margin: 3 \(param) } }
      """)
  }

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([6, 4]), .normal([6, 4]), .labels([6], classes: 2)],
      """
      layer { name: "loss" type: "ContrastiveLoss" bottom: "in0" bottom: "in1" bottom: "in2" top: "loss"
        contrastive_loss_param { \(param) } }
      """)
  }
}
