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
///
/// Or, with `mining`, embeddings N x C (usually of length 1), their labels N, and optionally attributes N x A: triplets are
/// formed of the batch, which should hold several records of each label, as a Data layer with a `sampler` draws them.
/// BATCH_ALL takes all triplets (the default with two bottoms); BATCH_HARD for each anchor the farthest positive and the
/// negative that costs most (Hermans, Beyer, Leibe, arXiv 1703.07737); SEMI_HARD for each anchor and positive the nearest
/// negative beyond the positive, or, where none is, the farthest one. The mean is over the triplets that cost something, or
/// over all that were looked at with `average_over_all`. `distance: EUCLIDEAN` takes the root of the squares. With
/// attributes (above 0 for what a record has) the margin is multiplied by 1 - the overlap of the anchor's attributes with
/// the negative's, what both have over what either has (Zhang, Zhou, Lin, Zhang, arXiv 1512.02895). Records with a NaN label
/// count for nothing; a batch without a triplet has loss and gradient 0, and so has a distance of 0.
package struct TripletLoss: RefusedLayer {
  package static let type = "TripletLoss"
  package static let parameterFields: [String]? = ["triplet_loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...4
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: TripletLossParameter
  /// Which triplets of the batch are formed; nil where the bottoms are triplets.
  private let choice: LabelTripletMiner.Choice?

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.tripletLossParam
    choice =
      switch param.mining {
      case .given: fields.parameter.bottom.count == 2 ? .all : nil
      case .batchAll: .all
      case .batchHard: .hardest
      case .semiHard: .semiHard
      }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    if choice != nil {
      let count = bottoms[0].extent(0)
      guard bottoms[1].count == count else {
        throw fields.fault(
          .badShape, "the \(count) embeddings need a label each, but the labels are \(bottoms[1])", at: "bottom[1]")
      }
      guard bottoms.count < 3 || bottoms[2].extent(0) == count else {
        throw fields.fault(
          .badShape, "the \(count) embeddings need attributes each, but they are \(bottoms[2])", at: "bottom[2]")
      }
      return LayerShapes(tops: [.scalar])
    }
    if let other = bottoms.prefix(3).first(where: {
      $0.count != bottoms[0].count || $0.extent(0) != bottoms[0].extent(0)
    }) {
      throw fields.fault(.badShape, "all bottoms must be of one shape, but they are \(bottoms[0]) and \(other)")
    }
    return LayerShapes(tops: [.scalar])
  }

  package func takesGradient(bottom index: Int) -> Bool { choice == nil ? index < 3 : index == 0 }

  package var refusal: Diagnostic? {
    let foreign = [
      (param.hasGroupSize, "group_size"), (param.hasScale, "scale"), (param.hasEps, "eps"), (param.hasAlpha, "alpha"),
      (param.hasPregenLabelStart, "pregen_label_start"),
    ].first(where: \.0)
    if let foreign {
      return fields.refusal(
        true, "triplet_loss_param.\(foreign.1)",
        "it is of forks that form the triplets themselves; give a, p and n")
    }
    let ofBatches = [(param.hasDistance, "distance"), (param.hasAverageOverAll, "average_over_all")].first(where: \.0)
    if let ofBatches, choice == nil {
      return fields.refusal(
        true, "triplet_loss_param.\(ofBatches.1)", "it is of triplets that are formed in the batch; see mining")
    }
    return fields.refusal(
      fields.parameter.bottom.count > 3, "bottom[3]",
      "the loss is that of three vectors; leave the labels out")
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    if let choice {
      let miner = LabelTripletMiner(
        choice: choice, margin: param.margin, labels: binding.bottom(1),
        attributes: binding.bottomShapes.count > 2 ? binding.bottom(2) : nil)
      return BatchTripletRun(
        binding, miner, isSquared: param.distance == .squared, averagesOverAll: param.averageOverAll)
    }
    let bottoms = (0..<3).map { binding.bottom($0) }
    binding.backwardReads(bottoms: bottoms)
    return Run(bottoms, binding.top(0), param.margin)
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
      """),
    // The mean over those that cost jumps where one begins to, so here all do.
    ofBatch("all of a batch", "margin: 40"), ofBatch("over all triplets", "margin: 1 average_over_all: true"),
    ofBatch("hardest", "margin: 1 mining: BATCH_HARD distance: EUCLIDEAN"),
    ofBatch("semi-hard", "margin: 1 mining: SEMI_HARD average_over_all: true"),
    LayerExample(
      "attributes", inputs: [.normal([7, 4]), .labels([7], classes: 3), .labels([7, 5], classes: 2)],
      """
      layer { name: "loss" type: "TripletLoss" bottom: "in0" bottom: "in1" bottom: "in2" top: "loss"
        triplet_loss_param { margin: 2 mining: BATCH_ALL } }
      """),
  ]

  private static func ofBatch(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([7, 4]), .labels([7], classes: 3)],
      """
      layer { name: "loss" type: "TripletLoss" bottom: "in0" bottom: "in1" top: "loss"
        triplet_loss_param { \(param) } }
      """)
  }
}
