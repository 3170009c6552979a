import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// The share of labelled positions whose class is among the `top_k` highest scores.
///
/// Bottoms: scores N x C x (positions), labels N x (positions). Tops: the accuracy, one value in 0 ... 1; optionally one
/// for each class (C). A class that scores as high as the labelled one counts as better, as in Caffe. Positions whose
/// label is NaN or `ignore_label` do not count; without any label the accuracy is 0 over 0 records, which tables show as '-'.
package struct Accuracy: Layer {
  package static let type = "Accuracy"
  package static let parameterFields: [String]? = ["accuracy_param"]
  package static let role = LayerRole.metric
  package static let bottomCount = 2...2
  package static let topCount = 1...2
  package static let examples: [LayerExample] = [
    LayerExample(
      "in testing", inputs: [.normal([6, 4]), .labels([6], classes: 4)],
      #"layer { name: "a" type: "Accuracy" bottom: "in0" bottom: "in1" top: "a" top: "per class" }"#, phase: .test,
      checksGradient: false)
  ]

  private let fields: LayerFields
  private let param: AccuracyParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.accuracyParam
    try fields.refuse(param.minIsBetter, "accuracy_param.min_is_better", "put a Power layer with scale: -1 before")
    guard param.topK >= 1 else { throw fields.fault("top_k must be at least 1", at: "accuracy_param.top_k") }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  private func labels(_ bottoms: [Shape]) throws -> ClassLabels {
    try ClassLabels(
      fields, scores: bottoms[0], labels: bottoms[1], axis: Int(param.axis),
      ignored: param.hasIgnoreLabel ? Int(param.ignoreLabel) : nil)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let labels = try labels(bottoms)
    guard Int(param.topK) <= labels.classes else {
      throw fields.fault(
        .badShape, "top_k \(param.topK) is more than the \(labels.classes) classes of the scores \(bottoms[0])",
        at: "accuracy_param.top_k")
    }
    return LayerShapes(tops: fields.parameter.top.count > 1 ? [.scalar, [labels.classes]] : [.scalar])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == 0 && param.axis != 0 ? .counted : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let labels = try labels(binding.bottomShapes)
    let scores = binding.bottom(0)
    return Run(
      labels.of(scores), topK: Int(param.topK), scores, binding.bottom(1), binding.top(0),
      binding.topShapes.count > 1 ? binding.top(1) : nil)
  }

  private final class Run: LossRun {
    private let labels: ClassLabels
    private let topK: Int
    private let scores: Blob
    private let targets: Blob
    private let accuracy: Blob
    private let perClass: Blob?
    /// Per class: labelled positions of the last pass.
    private var seen: [Int]
    private(set) var labelledCount = 0

    init(
      _ labels: ClassLabels, topK: Int, _ scores: Blob, _ targets: Blob, _ accuracy: Blob, _ perClass: Blob?
    ) {
      self.labels = labels
      self.topK = topK
      self.scores = scores
      self.targets = targets
      self.accuracy = accuracy
      self.perClass = perClass
      seen = [Int](repeating: 0, count: labels.classes)
    }

    func labelledCount(top: Int, element: Int) -> Int { top == 1 ? seen[element] : labelledCount }

    func forward() throws {
      for c in seen.indices { seen[c] = 0 }
      perClass?.values.update(repeating: 0, count: labels.classes)
      labelledCount = 0
      var right = 0
      for position in 0..<(labels.outer * labels.inner) {
        guard let label = try labels.label(targets.values, position) else { continue }
        labelledCount += 1
        seen[label] += 1
        guard isAmongBest(label, position) else { continue }
        right += 1
        perClass?.values[label] += 1
      }
      accuracy.values[0] = Float(right) / Float(max(1, labelledCount))
      guard let perClass else { return }
      for c in 0..<labels.classes where seen[c] > 0 { perClass.values[c] /= Float(seen[c]) }
    }

    private func isAmongBest(_ label: Int, _ position: Int) -> Bool {
      let start = position / labels.inner * labels.classes * labels.inner + position % labels.inner
      let score = scores.values[start + label * labels.inner]
      guard !score.isNaN else { return false }
      var better = 0
      for c in 0..<labels.classes where c != label && scores.values[start + c * labels.inner] >= score { better += 1 }
      return better < topK
    }
  }
}
