import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Keeps an anchor nearer to a vector of its kind than to one of another (Schroff, Kalenichenko, Philbin, CVPR 2015):
/// half the mean of max(`margin` + |a - p|^2 - |a - n|^2, 0).
///
/// Bottoms: anchors a, positives p, negatives n, each N x C (further axes are joined); all take a gradient. One fork has
/// labels as a fourth, which is accepted in shapes alone.
package struct TripletLoss: RefusedLayer {
  package static let type = "TripletLoss"
  package static let parameterFields: [String]? = ["triplet_loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 3...4
  package static let topCount = 1...1

  private let fields: LayerFields
  private let margin: Float

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    margin = fields.parameter.tripletLossParam.margin
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    if let other = bottoms.prefix(3).first(where: {
      $0.count != bottoms[0].count || $0.extent(0) != bottoms[0].extent(0)
    }) {
      throw fields.fault(.badShape, "all bottoms must be of one shape, but they are \(bottoms[0]) and \(other)")
    }
    return LayerShapes(tops: [.scalar])
  }

  package func takesGradient(bottom index: Int) -> Bool { index < 3 }

  package var refusal: Diagnostic? {
    let param = fields.parameter.tripletLossParam
    let foreign = [
      (param.hasGroupSize, "group_size"), (param.hasScale, "scale"), (param.hasEps, "eps"), (param.hasAlpha, "alpha"),
      (param.hasPregenLabelStart, "pregen_label_start"),
    ].first(where: \.0)
    if let foreign {
      return fields.refusal(
        true, "triplet_loss_param.\(foreign.1)",
        "it is of forks that form the triplets themselves; give a, p and n")
    }
    return fields.refusal(
      fields.parameter.bottom.count > 3, "bottom[3]",
      "the loss is that of three vectors; leave the labels out")
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    let bottoms = (0..<3).map { binding.bottom($0) }
    binding.backwardReads(bottoms: bottoms)
    return Run(bottoms, binding.top(0), margin)
  }

  private final class Run: LossRun {
    private let bottoms: [Blob]
    private let loss: Blob
    private let margin: Float
    private let count: Int
    private let width: Int

    init(_ bottoms: [Blob], _ loss: Blob, _ margin: Float) {
      self.bottoms = bottoms
      self.loss = loss
      self.margin = margin
      count = bottoms[0].shape.extent(0)
      width = bottoms[0].count / max(1, count)
    }

    var labelledCount: Int { count }

    private func cost(_ triplet: Int) -> Double {
      let start = triplet * width
      let (a, p, n) = (bottoms[0].values, bottoms[1].values, bottoms[2].values)
      var sum = Double(margin)
      for i in start..<(start + width) {
        sum += Double(a[i] - p[i]) * Double(a[i] - p[i]) - Double(a[i] - n[i]) * Double(a[i] - n[i])
      }
      return sum < 0 ? 0 : sum
    }

    func forward() {
      var sum = 0.0
      for triplet in 0..<count { sum += cost(triplet) }
      loss.values[0] = Float(sum / Double(max(1, count)) / 2)
    }

    func backward() {
      let (a, p, n) = (bottoms[0].values, bottoms[1].values, bottoms[2].values)
      let factor = loss.gradients[0] / Float(max(1, count))
      for triplet in 0..<count {
        let slope = cost(triplet) == 0 ? 0 : factor
        for i in (triplet * width)..<((triplet + 1) * width) {
          if bottoms[0].hasGradient { bottoms[0].gradients[i] = slope * (n[i] - p[i]) }
          if bottoms[1].hasGradient { bottoms[1].gradients[i] = slope * (p[i] - a[i]) }
          if bottoms[2].hasGradient { bottoms[2].gradients[i] = slope * (a[i] - n[i]) }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "margin 3", inputs: [.normal([5, 4]), .normal([5, 4]), .normal([5, 4])],
      """
      layer { name: "loss" type: "TripletLoss" bottom: "in0" bottom: "in1" bottom: "in2" top: "loss"
        triplet_loss_param { margin: 3 } }
      """)
  ]
}
