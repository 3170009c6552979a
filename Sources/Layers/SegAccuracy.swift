import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// How well a segmentation fits (Chen et al., ICLR 2015, and PSPNet's fork of Caffe).
///
/// Bottoms: scores N x C x H x W, labels N x 1 x H x W. Top 1 x 1 x 1 x 3: the share of labelled positions that are right,
/// the mean over the classes that are labelled of the share that was found, and the mean over the classes that occur of
/// what labels and findings share over what either holds. Positions whose label is NaN or one of `ignore_label` do not
/// count. Each pass counts by itself; `reset: false`, which adds passes up, is refused.
package struct SegAccuracy: RefusedLayer {
  package static let type = "SegAccuracy"
  package static let parameterFields: [String]? = ["seg_accuracy_param"]
  package static let role = LayerRole.metric
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: SegAccuracyParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.segAccuracyParam
  }

  package var refusal: Diagnostic? {
    fields.refusal(!param.reset, "seg_accuracy_param.reset", "each pass counts by itself; test with one large batch")
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  private func labels(_ bottoms: [Shape]) throws -> ClassLabels {
    try ClassLabels(fields, scores: bottoms[0], labels: bottoms[1], axis: 1, ignored: nil)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    _ = try labels(bottoms)
    return LayerShapes(tops: [[1, 1, 1, 3]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .counted : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    let labels = try labels(binding.bottomShapes)
    let scores = binding.bottom(0)
    return Run(labels.of(scores), param, scores, binding.bottom(1), binding.top(0))
  }

  private final class Run: LossRun {
    private let labels: ClassLabels
    private let ignored: Set<Float>
    private let scores: Blob
    private let targets: Blob
    private let top: Blob
    /// Positions by label and by finding.
    private var counts: [Int]
    private(set) var labelledCount = 0

    init(_ labels: ClassLabels, _ param: SegAccuracyParameter, _ scores: Blob, _ targets: Blob, _ top: Blob) {
      self.labels = labels
      ignored = Set(param.ignoreLabel.map(Float.init))
      self.scores = scores
      self.targets = targets
      self.top = top
      counts = [Int](repeating: 0, count: labels.classes * labels.classes)
    }

    func forward() throws {
      let classes = labels.classes
      for i in counts.indices { counts[i] = 0 }
      labelledCount = 0
      for position in 0..<(labels.outer * labels.inner)
      where !ignored.contains(targets.values[position].rounded(.towardZero)) {
        guard let label = try labels.label(targets.values, position) else { continue }
        labelledCount += 1
        counts[label * classes + best(position)] += 1
      }
      report()
    }

    /// The class of the highest score; of equal ones, the last.
    private func best(_ position: Int) -> Int {
      let start = position / labels.inner * labels.classes * labels.inner + position % labels.inner
      var best = 0
      for c in 1..<max(1, labels.classes)
      where scores.values[start + c * labels.inner] >= scores.values[start + best * labels.inner] {
        best = c
      }
      return best
    }

    private func report() {
      let classes = labels.classes
      var (right, all) = (0, 0)
      var (recall, recalled, overlap, occurring) = (0.0, 0, 0.0, 0)
      for c in 0..<classes {
        let hits = counts[c * classes + c]
        var (labelled, found) = (0, 0)
        for other in 0..<classes {
          labelled += counts[c * classes + other]
          found += counts[other * classes + c]
        }
        right += hits
        all += labelled
        if labelled > 0 { (recall, recalled) = (recall + Double(hits) / Double(labelled), recalled + 1) }
        let union = labelled + found - hits
        if union > 0 { (overlap, occurring) = (overlap + Double(hits) / Double(union), occurring + 1) }
      }
      top.values[0] = Float(right) / Float(max(1, all))
      top.values[1] = Float(recall / Double(max(1, recalled)))
      top.values[2] = Float(overlap / Double(max(1, occurring)))
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "positions", inputs: [.distinct([2, 3, 2, 2]), .labels([2, 1, 2, 2], classes: 3)],
      #"layer { name: "a" type: "SegAccuracy" bottom: "in0" bottom: "in1" top: "a" }"#, phase: .test,
      checksGradient: false)
  ]
}
