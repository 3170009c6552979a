import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Draws alike pairs together and unlike ones apart (Hadsell, Chopra, LeCun, CVPR 2006): half the mean of d^2 for alike
/// pairs and max(`margin` - d, 0)^2 for the others, d being their distance.
///
/// Bottoms: two times N x C, and N values that are not 0 for alike pairs, or, of a fork, the N labels of either side,
/// which are equal for alike pairs; both vectors take a gradient.
/// `legacy_version` costs max(margin - d^2, 0) for unlike pairs. A pair whose third value is NaN is not labelled and
/// counts for nothing. The gradient divides by d + 1e-4, as Caffe's does.
package struct ContrastiveLoss: RefusedLayer {
  package static let type = "ContrastiveLoss"
  package static let parameterFields: [String]? = ["contrastive_loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 3...4
  package static let topCount = 1...2

  private let fields: LayerFields
  private let param: ContrastiveLossParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.contrastiveLossParam
  }

  package func takesGradient(bottom index: Int) -> Bool { index < 2 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].count == bottoms[1].count, bottoms[0].extent(0) == bottoms[1].extent(0) else {
      throw fields.fault(.badShape, "the two vectors must be of one shape: \(bottoms[0]) and \(bottoms[1])")
    }
    for index in 2..<bottoms.count where bottoms[index].count != bottoms[0].extent(0) {
      throw fields.fault(
        .badShape, "needs one value for each of the \(bottoms[0].extent(0)) pairs, but they are \(bottoms[index])",
        at: "bottom[\(index)]")
    }
    // One fork's second top, of which alone the shape is known here.
    return LayerShapes(tops: fields.parameter.top.count > 1 ? [.scalar, [bottoms[0].extent(0)]] : [.scalar])
  }

  package var refusal: Diagnostic? {
    fields.refusal(
      param.outputMatches || fields.parameter.top.count > 1, "contrastive_loss_param.output_matches",
      "the loss is the only top")
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    let bottoms = binding.bottomShapes.indices.map { binding.bottom($0) }
    binding.backwardReads(bottoms: bottoms)
    return Run(bottoms, binding.top(0), margin: param.margin, isLegacy: param.legacyVersion)
  }

  private final class Run: LossRun {
    private let bottoms: [Blob]
    private let loss: Blob
    private let margin: Float
    private let isLegacy: Bool
    private let pairs: Int
    private let width: Int
    private(set) var labelledCount = 0

    init(_ bottoms: [Blob], _ loss: Blob, margin: Float, isLegacy: Bool) {
      self.bottoms = bottoms
      self.loss = loss
      self.margin = margin
      self.isLegacy = isLegacy
      pairs = bottoms[2].count
      width = bottoms[0].count / max(1, pairs)
    }

    private func squaredDistance(_ pair: Int) -> Float {
      let a = bottoms[0].values + pair * width
      let b = bottoms[1].values + pair * width
      var sum = 0.0
      for i in 0..<width { sum += Double(a[i] - b[i]) * Double(a[i] - b[i]) }
      return Float(sum)
    }

    /// Values between -1 and 1 count as 0: they are cut to whole numbers, as in Caffe.
    private func isAlike(_ pair: Int) -> Bool {
      if bottoms.count > 3 { return bottoms[2].values[pair] == bottoms[3].values[pair] }
      return abs(bottoms[2].values[pair]) >= 1
    }

    private func isLabelled(_ pair: Int) -> Bool { !bottoms[2...].contains { $0.values[pair].isNaN } }

    func forward() {
      labelledCount = 0
      var sum = 0.0
      for pair in 0..<pairs where isLabelled(pair) {
        labelledCount += 1
        let square = squaredDistance(pair)
        if isAlike(pair) {
          sum += Double(square)
        } else if isLegacy {
          sum += Double(margin - square < 0 ? 0 : margin - square)
        } else {
          let gap = margin - square.squareRoot()
          sum += gap < 0 ? 0 : Double(gap) * Double(gap)
        }
      }
      loss.values[0] = Float(sum / Double(max(1, labelledCount)) / 2)
    }

    func backward() {
      let factor = loss.gradients[0] / Float(max(1, labelledCount))
      for pair in 0..<pairs {
        let slope = slope(pair)
        let a = bottoms[0].values + pair * width
        let b = bottoms[1].values + pair * width
        for (bottom, sign) in zip(bottoms, [factor, -factor]) where bottom.hasGradient {
          let gradient = bottom.gradients + pair * width
          for i in 0..<width { gradient[i] = slope == 0 ? 0 : sign * slope * (a[i] - b[i]) }
        }
      }
    }

    /// The loss's derivative by the difference of a pair, over the difference.
    private func slope(_ pair: Int) -> Float {
      guard isLabelled(pair) else { return 0 }
      if isAlike(pair) { return 1 }
      let square = squaredDistance(pair)
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
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([6, 4]), .normal([6, 4]), .labels([6], classes: 2)],
      """
      layer { name: "loss" type: "ContrastiveLoss" bottom: "in0" bottom: "in1" bottom: "in2" top: "loss"
        contrastive_loss_param { \(param) } }
      """)
  }
}
