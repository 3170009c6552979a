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
/// count.
///
/// Each pass counts by itself, and a test gives the mean over its passes. With `reset: false` a test counts all of its
/// pictures together and tells the classes one by one in a table; in the fork, which then never starts anew, what is
/// printed is a mean of growing counts.
package struct SegAccuracy: Layer {
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
    let scores = binding.bottom(0)
    let metric = Metric(
      labels: try labels(binding.bottomShapes).of(scores), ignored: Set(param.ignoreLabel.map(Float.init)),
      scores: scores, targets: binding.bottom(1))
    return param.reset ? BatchRun(metric, binding.top(0)) : GatheringRun(metric, [binding.top(0)])
  }

  /// Counts each pass by itself.
  private final class BatchRun: LossRun {
    private let metric: Metric
    private let top: Blob
    private let rows: GatheredRows

    init(_ metric: Metric, _ top: Blob) {
      self.metric = metric
      self.top = top
      rows = GatheredRows(width: metric.width)
    }

    var labelledCount: Int { metric.labelledCount(in: rows) }

    func forward() throws {
      rows.removeAll()
      try metric.gather(into: rows)
      for (index, value) in metric.values(over: rows)[0].enumerated() { top.values[index] = value }
    }
  }

  private struct Metric: GatheringMetric {
    let labels: ClassLabels
    let ignored: Set<Float>
    let scores: Blob
    let targets: Blob

    /// Of each class, the positions of a picture that are labelled so, found to be so, and both.
    var width: Int { 3 * labels.classes }

    func gather(into rows: GatheredRows) throws {
      var counts = [Float](repeating: 0, count: width)
      for picture in 0..<labels.liveOuter {
        for i in counts.indices { counts[i] = 0 }
        for position in (picture * labels.inner)..<((picture + 1) * labels.inner)
        where !ignored.contains(targets.values[position].rounded(.towardZero)) {
          guard let label = try labels.label(targets.values, position) else { continue }
          let found = best(position)
          counts[3 * label] += 1
          counts[3 * found + 1] += 1
          if found == label { counts[3 * label + 2] += 1 }
        }
        rows.append(counts)
      }
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

    private struct Tally {
      var labelled = 0
      var found = 0
      var both = 0

      var recall: Double? { labelled > 0 ? Double(both) / Double(labelled) : nil }
      var overlap: Double? {
        let either = labelled + found - both
        return either > 0 ? Double(both) / Double(either) : nil
      }
    }

    private func tallies(_ rows: GatheredRows) -> [Tally] {
      var tallies = [Tally](repeating: Tally(), count: labels.classes)
      for (place, count) in rows.values.enumerated() where count > 0 {
        let label = place % width / 3
        switch place % 3 {
        case 0: tallies[label].labelled += Int(count)
        case 1: tallies[label].found += Int(count)
        default: tallies[label].both += Int(count)
        }
      }
      return tallies
    }

    private func mean(_ values: [Double?]) -> Double? {
      let known = values.compactMap { $0 }
      return known.isEmpty ? nil : known.reduce(0, +) / Double(known.count)
    }

    private func accuracy(_ tallies: [Tally]) -> Double? {
      let all = tallies.reduce(0) { $0 + $1.labelled }
      return all > 0 ? Double(tallies.reduce(0) { $0 + $1.both }) / Double(all) : nil
    }

    func labelledCount(in rows: GatheredRows) -> Int { tallies(rows).reduce(0) { $0 + $1.labelled } }

    func values(over rows: GatheredRows) -> [[Float]] {
      let tallies = tallies(rows)
      return [
        [accuracy(tallies), mean(tallies.map(\.recall)), mean(tallies.map(\.overlap))].map { Float($0 ?? 0) }
      ]
    }

    func tables(over rows: GatheredRows) -> [MetricTable] {
      let tallies = tallies(rows)
      var table = MetricTable(["class", "found", "overlap", "positions"])
      for (label, tally) in tallies.enumerated() {
        table.add("\(label)", [tally.recall, tally.overlap], count: tally.labelled)
      }
      table.add(
        "mean", [mean(tallies.map(\.recall)), mean(tallies.map(\.overlap))],
        count: tallies.reduce(0) { $0 + $1.labelled })
      return [table]
    }
  }

  package static let examples: [LayerExample] = [example("positions", ""), example("a whole test", "reset: false")]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.distinct([2, 3, 2, 2]), .labels([2, 1, 2, 2], classes: 3)],
      #"layer { name: "a" type: "SegAccuracy" bottom: "in0" bottom: "in1" top: "a" seg_accuracy_param { \#(param) } }"#,
      phase: .test, checksGradient: false)
  }
}
