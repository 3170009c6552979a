import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// The multinomial logistic loss of the softmax of the scores: the mean of -ln(probability of the labelled class).
///
/// Bottoms: scores N x C x (positions), labels N x (positions). Tops: the loss, one value; optionally the probabilities.
/// The sum is divided by the labelled positions (`normalization: VALID`, the default), by all positions (FULL), by N
/// (BATCH_SIZE) or not at all (NONE); `normalize: false` is the older word for BATCH_SIZE. Positions whose label is NaN
/// or `ignore_label` count for nothing, and a record whose labels are all NaN is as if it were not in the batch; a batch
/// without any label gives loss 0 and gradient 0. Of SegNet's fork: `weight_by_label_freqs` multiplies each position's
/// cost by the `class_weighting` of its label; what is divided by stays.
package struct SoftmaxWithLoss: NormalizedLoss {
  package static let type = "SoftmaxWithLoss"
  package static let parameterFields: [String]? = ["softmax_param", "loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...2

  private let fields: LayerFields
  private let axis: Int
  private let normalization: LossNormalization
  /// One for each class, or none.
  private let weights: [Float]

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    axis = Int(fields.parameter.softmaxParam.axis)
    try SoftmaxDescription.refuseForks(fields)
    normalization = try LossNormalization(fields, default: .valid, weightsClasses: true)
    weights = fields.parameter.lossParam.weightByLabelFreqs ? fields.parameter.lossParam.classWeighting : []
  }

  package var normalizationMode: LossParameter.NormalizationMode { normalization.mode }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  private func labels(_ bottoms: [Shape]) throws -> ClassLabels {
    let loss = fields.parameter.lossParam
    return try ClassLabels(
      fields, scores: bottoms[0], labels: bottoms[1], axis: axis,
      ignored: loss.hasIgnoreLabel ? Int(loss.ignoreLabel) : nil)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let classes = try labels(bottoms).classes
    guard weights.isEmpty || weights.count == classes else {
      throw fields.fault(
        .badShape, "\(weights.count) class_weighting values are given for \(classes) classes; give one for each",
        at: "loss_param.class_weighting[0]")
    }
    return LayerShapes(tops: fields.parameter.top.count > 1 ? [.scalar, bottoms[0]] : [.scalar])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == 0 && self.axis != 0 ? RowwiseBlobs(tops: [1]) : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try bind(binding, costs: nil) }

  /// - Parameter costs: the top that takes each position's cost.
  func bind(_ binding: LayerBinding, costs: Int?) throws -> any LayerRun {
    let labels = try labels(binding.bottomShapes)
    let op = try binding.engine.softmax(
      SoftmaxDescription(outer: labels.outer, channels: labels.classes, inner: labels.inner))
    let scores = binding.bottom(0)
    let targets = binding.bottom(1)
    let loss = binding.top(0)
    let probabilities = binding.topShapes.count > 1 ? binding.top(1) : nil
    binding.backwardReads(bottoms: [targets], tops: probabilities.map { [$0] } ?? [])
    return Run(
      binding.engine, op, labels.of(scores), scores, targets, loss, costs: costs.map { binding.top($0) },
      probabilities: probabilities?.dataRegion ?? binding.workspace(scores.count * MemoryLayout<Float>.stride),
      normalization: normalization, weights: weights)
  }

  private final class Run: LossRun, DescribedRun {
    private let engine: any Engine
    private let op: any SoftmaxOp
    private let labels: ClassLabels
    private let scores: Blob
    private let targets: Blob
    private let loss: Blob
    private let costs: Blob?
    private let probabilities: Region
    private let normalization: LossNormalization
    private let weights: [Float]
    private var counts = LabelCounts()
    var labelledCount: Int { counts.labelled }

    init(
      _ engine: any Engine, _ op: any SoftmaxOp, _ labels: ClassLabels, _ scores: Blob, _ targets: Blob, _ loss: Blob,
      costs: Blob?, probabilities: Region, normalization: LossNormalization, weights: [Float]
    ) {
      self.engine = engine
      self.op = op
      self.labels = labels
      self.scores = scores
      self.targets = targets
      self.loss = loss
      self.costs = costs
      self.probabilities = probabilities
      self.normalization = normalization
      self.weights = weights
    }

    var implementation: String { op.implementation }

    private var normalizer: Float { normalization.divisor(counts, positions: labels.inner) }

    func forward() throws {
      let p = probabilities.pointer.assumingMemoryBound(to: Float.self)
      op.forward(bottom: scores.values, top: p)
      var sum = 0.0
      var labelled = 0
      costs?.values.update(repeating: 0, count: costs?.count ?? 0)
      for o in 0..<labels.outer {
        for i in 0..<labels.inner {
          guard let label = try labels.label(targets.values, o * labels.inner + i) else { continue }
          labelled += 1
          let probability = p[(o * labels.classes + label) * labels.inner + i]
          let cost =
            -(weights.isEmpty ? 1 : weights[label])
            * logf(probability < .leastNormalMagnitude ? .leastNormalMagnitude : probability)
          costs?.values[o * labels.inner + i] = cost
          sum += Double(cost)
        }
      }
      counts = labels.counts(targets.values, labelled: labelled)
      loss.values[0] = Float(sum) / normalizer
    }

    /// (probability - [class is the label]) times the loss's gradient over the normaliser. As in Caffe, nothing comes
    /// back through the probabilities.
    func backward() {
      let p = probabilities.pointer.assumingMemoryBound(to: Float.self)
      let dx = scores.gradients
      let y = targets.values
      let factor = loss.hasGradient ? loss.gradients[0] / normalizer : 0
      engine.parallel(labels.outer, grain: max(1, 4096 / max(1, labels.classes * labels.inner))) {
        [labels, weights] from, to in
        for o in from..<to {
          for i in 0..<labels.inner {
            let start = o * labels.classes * labels.inner + i
            // Labels out of range were refused by forward.
            let label = (try? labels.label(y, o * labels.inner + i)).flatMap { $0 }
            let share = label.map { weights.isEmpty ? factor : factor * weights[$0] } ?? 0
            for c in 0..<labels.classes {
              let at = start + c * labels.inner
              dx[at] = label == nil ? 0 : share * (p[at] - (c == label ? 1 : 0))
            }
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("classes", [.normal([4, 5]), .labels([4], classes: 5)], ""),
    example(
      "positions, ignoring a class", [.normal([2, 3, 2, 2]), .labels([2, 1, 2, 2], classes: 3)],
      "loss_param { ignore_label: 1 }"),
    example(
      "divided by the batch", [.normal([2, 3, 4]), .labels([2, 4], classes: 3)],
      "loss_param { normalization: BATCH_SIZE } loss_weight: 0.3"),
    example(
      "divided by the batch, in the older form", [.normal([2, 3, 4]), .labels([2, 4], classes: 3)],
      "loss_param { normalize: false }"),
    example(
      "divided by a number", [.normal([2, 3, 4]), .labels([2, 4], classes: 3)],
      "loss_param { normalization: PRE_FIXED pre_fixed_normalizer: 2.5 }"),
    LayerExample(
      "with probabilities", inputs: [.normal([4, 5]), .labels([4], classes: 5)],
      #"layer { name: "loss" type: "SoftmaxWithLoss" bottom: "in0" bottom: "in1" top: "loss" top: "p" }"#,
      checksGradient: false),
    example(
      "classes weighted", [.normal([4, 3]), .labels([4], classes: 3)],
      "loss_param { weight_by_label_freqs: true class_weighting: 0.5 class_weighting: 2 class_weighting: 1.5 }"),
    example("along axis 2", [.normal([2, 3, 4]), .labels([2, 3], classes: 4)], "softmax_param { axis: 2 }"),
  ]

  private static func example(_ name: String, _ inputs: [LayerExample.Input], _ fields: String) -> LayerExample {
    LayerExample(
      name, inputs: inputs,
      #"layer { name: "loss" type: "SoftmaxWithLoss" bottom: "in0" bottom: "in1" top: "loss" \#(fields) }"#)
  }
}
