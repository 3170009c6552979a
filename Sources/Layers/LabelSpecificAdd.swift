import CaffeSchema
import Diagnostics
import Glibc
import Nets
import Tensors

/// The additive margin of AM-Softmax (Wang, Cheng, Liu, Liu, 2018; happynear's fork of Caffe): `bias` is added to the
/// score of the labelled class, where that score is above -bias.
///
/// Bottoms: scores N x C (further axes are joined to C), labels N. Top as the scores. With `bias_base` the margin grows:
/// bias_base + (1 + `bias_gamma` i)^`bias_power` - 1, within `bias_min` and `bias_max`, i counting the passes from
/// `iteration` on. In TEST nothing is added unless `transform_test` is set. Records whose label is NaN stay as they are.
package struct LabelSpecificAdd: RefusedLayer {
  package static let type = "LabelSpecificAdd"
  package static let parameterFields: [String]? = ["label_specific_add_param"]
  package static let bottomCount = 2...2
  package static let topCount = 1...2

  private let fields: LayerFields
  private let param: LabelSpecificAddParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.labelSpecificAddParam
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    _ = try ClassLabels(fields, ofRecords: bottoms)
    // One fork's second top, the margin, of which alone the shape is known here.
    return LayerShapes(tops: fields.parameter.top.count > 1 ? [bottoms[0], [1]] : [bottoms[0]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package var refusal: Diagnostic? {
    fields.refusal(fields.parameter.top.count > 1, "top[1]", "the scores are the only top")
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    let (scores, targets) = (binding.bottom(0), binding.bottom(1))
    let top = binding.top(0)
    binding.backwardReads()
    binding.allowInPlace(scores, top)
    return Run(
      try ClassLabels(fields, ofRecords: binding.bottomShapes).of(scores), param, binding.draws, scores, targets, top,
      adds: fields.phase == .train || param.transformTest)
  }

  private final class Run: LayerRun {
    private let labels: ClassLabels
    private let param: LabelSpecificAddParameter
    private let draws: LayerDraws
    private let scores: Blob
    private let targets: Blob
    private let top: Blob
    private let adds: Bool

    init(
      _ labels: ClassLabels, _ param: LabelSpecificAddParameter, _ draws: LayerDraws, _ scores: Blob, _ targets: Blob,
      _ top: Blob, adds: Bool
    ) {
      self.labels = labels
      self.param = param
      self.draws = draws
      self.scores = scores
      self.targets = targets
      self.top = top
      self.adds = adds
    }

    private var bias: Float {
      guard param.hasBiasBase else { return param.bias }
      let iteration = Float(Int(param.iteration) + draws.pass)
      let bias = param.biasBase + powf(1 + param.biasGamma * iteration, param.biasPower) - 1
      return min(max(bias, param.biasMin), param.biasMax)
    }

    func forward() throws {
      if top.values != scores.values { top.values.update(from: scores.values, count: top.count) }
      guard adds else { return }
      let bias = bias
      for n in 0..<labels.outer {
        guard let label = try labels.label(targets.values, n) else { continue }
        let score = top.values + n * labels.classes + label
        if score[0] > -bias { score[0] += bias }
      }
    }

    func backward() {
      if top.gradients != scores.gradients { scores.gradients.update(from: top.gradients, count: top.count) }
    }
  }

  package static let examples: [LayerExample] = [
    example("a fixed margin", "bias: -0.35", [.uniform([5, 4], 1...2)]),
    example(
      "a margin that grows", "bias_base: 0.1 bias_gamma: 0.02 iteration: 3 bias_max: 0.4", [.uniform([5, 4], 1...2)]),
    example(
      "a margin that grows faster", "bias_base: 0.1 bias_gamma: 0.02 bias_power: 3 iteration: 3 bias_max: 0.6",
      [.uniform([5, 4], 1...2)]),
    example(
      "a margin of at least so much", "bias_base: 0.1 bias_gamma: 0.02 bias_min: 0.3 bias_max: 0.4",
      [.uniform([5, 4], 1...2)]),
    example("in testing", "bias: -0.35", [.normal([5, 4])], phase: .test),
    example("in testing, all the same", "bias: 0.3 transform_test: true", [.uniform([5, 4], 1...2)], phase: .test),
  ]

  private static func example(
    _ name: String, _ param: String, _ inputs: [LayerExample.Input], phase: Phase = .train
  ) -> LayerExample {
    LayerExample(
      name, inputs: inputs + [.labels([5], classes: 4)],
      """
      layer { name: "a" type: "LabelSpecificAdd" bottom: "in0" bottom: "in1" top: "a"
        label_specific_add_param { \(param) } }
      """, phase: phase)
  }
}
