import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// The cross entropy of independent yes-or-no answers: -(t ln s + (1 - t) ln(1 - s)) with s = 1 / (1 + e^-score), summed
/// over all values.
///
/// Bottoms: scores and targets t in 0 ... 1, N x … of one size. The sum is divided by N (`normalization: BATCH_SIZE`,
/// the default), by the labelled values (VALID), by all values (FULL) or not at all (NONE): with many labels the default
/// is a larger loss than a softmax's. Values whose target is NaN or `ignore_label` count for nothing, and a record whose
/// targets are all NaN is as if it were not in the batch.
package struct SigmoidCrossEntropyLoss: NormalizedLoss {
  package static let type = "SigmoidCrossEntropyLoss"
  package static let parameterFields: [String]? = ["loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let normalization: LossNormalization

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    normalization = try LossNormalization(fields, default: .batchSize)
  }

  package var normalizationMode: LossParameter.NormalizationMode { normalization.mode }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].count == bottoms[1].count, bottoms[0].extent(0) == bottoms[1].extent(0) else {
      throw fields.fault(
        .badShape, "needs a target for each score, but the scores are \(bottoms[0]) and the targets \(bottoms[1])",
        at: "bottom[1]")
    }
    return LayerShapes(tops: [.scalar])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .counted : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottoms = [binding.bottom(0), binding.bottom(1)]
    binding.backwardReads(bottoms: bottoms)
    let param = fields.parameter.lossParam
    return Run(
      binding.engine, bottoms[0], bottoms[1], binding.top(0), ignored: param.hasIgnoreLabel ? param.ignoreLabel : nil,
      normalization)
  }

  private final class Run: LossRun {
    private let engine: any Engine
    private let scores: Blob
    private let targets: Blob
    private let loss: Blob
    private let ignored: Int32?
    private let normalization: LossNormalization
    /// Values of a record.
    private let width: Int
    private var counts = LabelCounts()
    var labelledCount: Int { counts.labelled }

    init(
      _ engine: any Engine, _ scores: Blob, _ targets: Blob, _ loss: Blob, ignored: Int32?,
      _ normalization: LossNormalization
    ) {
      self.engine = engine
      self.scores = scores
      self.targets = targets
      self.loss = loss
      self.ignored = ignored
      self.normalization = normalization
      width = scores.count / max(1, scores.shape.extent(0))
    }

    private var normalizer: Float { normalization.divisor(counts, positions: width) }

    /// The target is cut to a whole number before it is compared, as in Caffe.
    @inline(__always)
    private func isIgnored(_ target: Float) -> Bool {
      guard let ignored else { return false }
      return abs(target) < 0x1p30 && Int32(target) == ignored
    }

    /// max(x, 0) - x t + ln(1 + e^-|x|), which cannot overflow.
    func forward() {
      let (x, t) = (scores.values, targets.values)
      var sum = 0.0
      counts = LabelCounts()
      for record in 0..<scores.liveShape.extent(0) {
        var isPresent = false
        for i in (record * width)..<((record + 1) * width) where !t[i].isNaN {
          isPresent = true
          guard !isIgnored(t[i]) else { continue }
          counts.labelled += 1
          sum += Double((x[i] > 0 ? x[i] : 0) - x[i] * t[i] + logf(1 + expf(-abs(x[i]))))
        }
        if isPresent { counts.records += 1 }
      }
      loss.values[0] = Float(sum) / normalizer
    }

    func backward() {
      let (x, t, dx) = (scores.values, targets.values, scores.gradients)
      let factor = loss.gradients[0] / normalizer
      let live = scores.liveCount
      (dx + live).update(repeating: 0, count: scores.count - live)
      engine.parallel(live, grain: 2048) { from, to in
        for i in from..<to { dx[i] = t[i].isNaN || isIgnored(t[i]) ? 0 : factor * (1 / (1 + expf(-x[i])) - t[i]) }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("targets between 0 and 1", .uniform([4, 5], 0...1), ""),
    example("ignoring a value", .labels([4, 5], classes: 3), "loss_param { ignore_label: 2 normalization: VALID }"),
    example("not divided", .labels([4, 5], classes: 2), "loss_param { normalization: NONE } loss_weight: 0.1"),
  ]

  private static func example(_ name: String, _ targets: LayerExample.Input, _ fields: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([4, 5]), targets],
      #"layer { name: "loss" type: "SigmoidCrossEntropyLoss" bottom: "in0" bottom: "in1" top: "loss" \#(fields) }"#)
  }
}
