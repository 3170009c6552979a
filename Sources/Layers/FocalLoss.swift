import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// The focal loss of the softmax of the scores (Lin, Goyal, Girshick, He, Dollár, ICCV 2017): the mean of -`alpha` (1 -
/// p)^`gamma` ln p, p being the probability of the labelled class.
///
/// Bottoms: scores N x C x (positions) with the classes along `axis`, labels N x (positions). Tops: the loss, one value;
/// optionally the probabilities. What the sum is divided by and which labels count is as in SoftmaxWithLoss. `type`
/// ORIGIN alone is supported: forks differ in the others.
package struct FocalLoss: Layer {
  package static let type = "FocalLoss"
  package static let parameterFields: [String]? = ["focal_loss_param", "loss_param", "softmax_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...2

  private let fields: LayerFields
  private let cost: FocalCost
  private let axis: Int
  private let normalization: LossNormalization

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    cost = try FocalCost(fields)
    let param = fields.parameter.focalLossParam
    try SoftmaxDescription.refuseForks(fields)
    axis = Int(param.hasAxis ? param.axis : fields.parameter.softmaxParam.axis)
    normalization = try LossNormalization(fields, default: .valid)
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  private func labels(_ bottoms: [Shape]) throws -> ClassLabels {
    let loss = fields.parameter.lossParam
    return try ClassLabels(
      fields, scores: bottoms[0], labels: bottoms[1], axis: axis,
      ignored: loss.hasIgnoreLabel ? Int(loss.ignoreLabel) : nil)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    _ = try labels(bottoms)
    return LayerShapes(tops: fields.parameter.top.count > 1 ? [.scalar, bottoms[0]] : [.scalar])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == 0 && self.axis != 0 ? RowwiseBlobs(tops: [1]) : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let labels = try labels(binding.bottomShapes)
    let op = try binding.engine.softmax(
      SoftmaxDescription(outer: labels.outer, channels: labels.classes, inner: labels.inner))
    let (scores, targets) = (binding.bottom(0), binding.bottom(1))
    let loss = binding.top(0)
    let probabilities = binding.topShapes.count > 1 ? binding.top(1) : nil
    binding.backwardReads(bottoms: [targets], tops: probabilities.map { [$0] } ?? [])
    return Run(
      op, labels.of(scores), cost, scores, targets, loss,
      probabilities: probabilities?.dataRegion ?? binding.workspace(scores.count * MemoryLayout<Float>.stride),
      normalization: normalization)
  }

  private final class Run: LossRun {
    private let op: any SoftmaxOp
    private let labels: ClassLabels
    private let cost: FocalCost
    private let scores: Blob
    private let targets: Blob
    private let loss: Blob
    private let probabilities: Region
    private let normalization: LossNormalization
    private var counts = LabelCounts()
    var labelledCount: Int { counts.labelled }

    init(
      _ op: any SoftmaxOp, _ labels: ClassLabels, _ cost: FocalCost, _ scores: Blob, _ targets: Blob,
      _ loss: Blob, probabilities: Region, normalization: LossNormalization
    ) {
      self.op = op
      self.labels = labels
      self.cost = cost
      self.scores = scores
      self.targets = targets
      self.loss = loss
      self.probabilities = probabilities
      self.normalization = normalization
    }

    private var normalizer: Float { normalization.divisor(counts, positions: labels.inner) }

    func forward() throws {
      let p = probabilities.pointer.assumingMemoryBound(to: Float.self)
      op.forward(bottom: scores.values, top: p)
      var sum = 0.0
      var labelled = 0
      for position in 0..<(labels.outer * labels.inner) {
        guard let label = try labels.label(targets.values, position) else { continue }
        labelled += 1
        sum += Double(cost.cost(p[start(position) + label * labels.inner]))
      }
      counts = labels.counts(targets.values, labelled: labelled)
      loss.values[0] = Float(sum) / normalizer
    }

    private func start(_ position: Int) -> Int {
      position / labels.inner * labels.classes * labels.inner + position % labels.inner
    }

    func backward() throws {
      let p = probabilities.pointer.assumingMemoryBound(to: Float.self)
      let dx = scores.gradients
      let factor = loss.hasGradient ? loss.gradients[0] / normalizer : 0
      dx.update(repeating: 0, count: scores.count)
      for position in 0..<(labels.outer * labels.inner) {
        guard let label = try labels.label(targets.values, position) else { continue }
        let slope = cost.slope(p[start(position) + label * labels.inner])
        for c in 0..<labels.classes {
          let at = start(position) + c * labels.inner
          dx[at] = factor * slope * ((c == label ? 1 : 0) - p[at])
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("classes", [.normal([4, 5]), .labels([4], classes: 5)], "loss_weight: 3"),
    example(
      "positions, ignoring a class", [.normal([2, 3, 2, 2]), .labels([2, 1, 2, 2], classes: 3)],
      "focal_loss_param { alpha: 1 gamma: 1.5 } loss_param { ignore_label: 1 normalization: BATCH_SIZE }"),
    LayerExample(
      "with probabilities", inputs: [.normal([4, 5]), .labels([4], classes: 5)],
      #"layer { name: "loss" type: "FocalLoss" bottom: "in0" bottom: "in1" top: "loss" top: "p" }"#,
      checksGradient: false),
  ]

  private static func example(_ name: String, _ inputs: [LayerExample.Input], _ fields: String) -> LayerExample {
    LayerExample(
      name, inputs: inputs,
      #"layer { name: "loss" type: "FocalLoss" bottom: "in0" bottom: "in1" top: "loss" \#(fields) }"#)
  }
}
