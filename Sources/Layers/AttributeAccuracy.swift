import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// How well yes-or-no attributes are told, one by one and on average.
///
/// Bottoms come in pairs of scores and labels, of which 1 stands for yes and 0 for no: scores as many as labels, yes
/// above 0 (before a sigmoid, as SigmoidCrossEntropyLoss takes them); or two scores for each record's one label, yes where
/// the second is higher (as SoftmaxWithLoss takes them). So there may be one pair with all attributes in one blob, or a pair
/// for each of 40 heads. Tops: the accuracy, a mean over the attributes; optionally the mean balanced accuracy. The
/// balanced accuracy of an attribute is the mean of the shares of its yes and its no that are told rightly, so that
/// answering as most records are gives one half. NaN and negative labels do not count. `mtl test` prints a table with a line
/// for each attribute; `name` gives the names for it.
package struct AttributeAccuracy: Layer {
  package static let type = "AttributeAccuracy"
  package static let parameterFields: [String]? = ["attribute_accuracy_param"]
  package static let role = LayerRole.metric
  package static let bottomCount = 2...Int.max
  package static let topCount = 1...2

  private let fields: LayerFields
  private let given: [String]

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    given = fields.parameter.attributeAccuracyParam.name
    guard fields.parameter.bottom.count % 2 == 0 else {
      throw fields.fault("the bottoms are pairs of scores and labels, but there are \(fields.parameter.bottom.count)")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  /// How many attributes each pair of bottoms has.
  private func counts(_ bottoms: [Shape]) throws -> [Int] {
    try stride(from: 0, to: bottoms.count, by: 2).map { index in
      let (scores, labels) = (bottoms[index], bottoms[index + 1])
      let batch = bottoms[0].extent(0)
      let isTwofold = scores.count == 2 * labels.count && labels.count == batch
      guard batch > 0, scores.extent(0) == batch, labels.extent(0) == batch, scores.count == labels.count || isTwofold
      else {
        throw fields.fault(
          .badShape,
          "needs a score for each label, or two for each record's one, but the scores are \(scores) and the labels "
            + "\(labels)", at: "bottom[\(index)]")
      }
      return labels.count / batch
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let count = try counts(bottoms).reduce(0, +)
    guard given.isEmpty || given.count == count else {
      throw fields.fault(
        "\(given.count) names are given for \(count) attributes", at: "attribute_accuracy_param.name[0]")
    }
    return LayerShapes(tops: fields.parameter.top.map { _ in .scalar })
  }

  /// As given; else those of the labels' blobs, with a number where one holds several.
  private func names(_ counts: [Int]) -> [String] {
    if !given.isEmpty { return given }
    return counts.enumerated().flatMap { pair, count -> [String] in
      let blob = fields.parameter.bottom[2 * pair + 1]
      return count == 1 ? [blob] : (0..<count).map { "\(blob)[\($0)]" }
    }
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let counts = try counts(binding.bottomShapes)
    let pairs = counts.indices.map { (scores: binding.bottom(2 * $0), labels: binding.bottom(2 * $0 + 1)) }
    return GatheringRun(
      Metric(pairs: pairs, names: names(counts)), binding.topShapes.indices.map { binding.top($0) })
  }

  private struct Metric: GatheringMetric {
    let pairs: [(scores: Blob, labels: Blob)]
    let names: [String]

    /// For each attribute 2 x label + answer, NaN where the label is missing.
    var width: Int { names.count }

    func gather(into rows: GatheredRows) {
      for record in 0..<pairs[0].labels.shape.extent(0) {
        var outcomes: [Float] = []
        for (scores, labels) in pairs {
          let count = labels.count / labels.shape.extent(0)
          let isTwofold = scores.count == 2 * labels.count
          for place in record * count..<(record + 1) * count {
            let label = labels.values[place]
            let isYes = label > 0.5
            outcomes.append(label >= 0 ? (isYes ? 2 : 0) + (answer(scores, place, isTwofold, isYes) ? 1 : 0) : .nan)
          }
        }
        rows.append(outcomes)
      }
    }

    /// Scores that are no numbers answer wrongly.
    private func answer(_ scores: Blob, _ place: Int, _ isTwofold: Bool, _ label: Bool) -> Bool {
      let score = isTwofold ? scores.values[2 * place + 1] - scores.values[2 * place] : scores.values[place]
      return score.isNaN ? !label : score > 0
    }

    /// How often each attribute was yes or no, and told rightly.
    private struct Tally {
      var yes = 0
      var no = 0
      var rightYes = 0
      var rightNo = 0

      var count: Int { yes + no }
      var accuracy: Double? { count > 0 ? Double(rightYes + rightNo) / Double(count) : nil }
      var balanced: Double? {
        let shares = [(rightYes, yes), (rightNo, no)].filter { $0.1 > 0 }.map { Double($0.0) / Double($0.1) }
        return shares.isEmpty ? nil : shares.reduce(0, +) / Double(shares.count)
      }
      var positives: Double? { count > 0 ? Double(yes) / Double(count) : nil }
    }

    private func tallies(_ rows: GatheredRows) -> [Tally] {
      var tallies = [Tally](repeating: Tally(), count: width)
      for (place, outcome) in rows.values.enumerated() where !outcome.isNaN {
        let attribute = place % width
        if outcome >= 2 {
          tallies[attribute].yes += 1
          tallies[attribute].rightYes += outcome == 3 ? 1 : 0
        } else {
          tallies[attribute].no += 1
          tallies[attribute].rightNo += outcome == 0 ? 1 : 0
        }
      }
      return tallies
    }

    private func mean(_ values: [Double?]) -> Double? {
      let known = values.compactMap { $0 }
      return known.isEmpty ? nil : known.reduce(0, +) / Double(known.count)
    }

    func labelledCount(in rows: GatheredRows) -> Int {
      rows.values.count { !$0.isNaN }
    }

    func values(over rows: GatheredRows) -> [[Float]] {
      let tallies = tallies(rows)
      return [[Float(mean(tallies.map(\.accuracy)) ?? 0)], [Float(mean(tallies.map(\.balanced)) ?? 0)]]
    }

    func tables(over rows: GatheredRows) -> [MetricTable] {
      let tallies = tallies(rows)
      var table = MetricTable(["attribute", "accuracy", "balanced", "positives", "records"])
      for (name, tally) in zip(names, tallies) {
        table.add(name, [tally.accuracy, tally.balanced, tally.positives], count: tally.count)
      }
      table.add(
        "mean", [mean(tallies.map(\.accuracy)), mean(tallies.map(\.balanced)), mean(tallies.map(\.positives))],
        count: rows.count)
      return [table]
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "one blob", inputs: [.normal([6, 4]), .labels([6, 4], classes: 2)],
      """
      layer { name: "a" type: "AttributeAccuracy" bottom: "in0" bottom: "in1" top: "a" top: "balanced" }
      """, phase: .test, checksGradient: false)
  ]
}
