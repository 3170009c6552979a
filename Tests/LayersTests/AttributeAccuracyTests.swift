import CaffeSchema
import ComputeReference
import Layers
import Nets
import Tensors
import Testing

@Suite struct AttributeAccuracyTests {
  /// Four records, two attributes. The first: yes yes yes no, answered yes yes no no; the second: no no no no, answered yes
  /// no no no.
  private let labels: [Float] = [1, 0, 1, 0, 1, 0, 0, 0]
  /// The balanced accuracy of the first: two of three yes, and the one no.
  private let first = (2.0 / 3 + 1) / 2
  private let scores: [Float] = [2, 1, 0.1, -1, -3, -1, -0.5, -2]

  private func oneBlob(_ labels: [Float]? = nil, _ scores: [Float]? = nil, _ fields: String = "") throws -> SweepNet {
    let net = try SweepNet(
      LayerExample(
        "attributes", inputs: [.normal([4, 2]), .labels([4, 2], classes: 2)],
        """
        layer { name: "a" type: "AttributeAccuracy" bottom: "in0" bottom: "in1" top: "a" top: "balanced"
          attribute_accuracy_param { \(fields) } }
        """, phase: .test, checksGradient: false), engine: ReferenceEngine())
    net.fillInput(0) { (scores ?? self.scores)[$0] }
    net.fillInput(1) { (labels ?? self.labels)[$0] }
    return net
  }

  private func run(_ net: SweepNet) throws -> (values: [Float], table: MetricTable) {
    let run = try #require(net.net.run(ofLayer: net.net.graph.nodes.count - 1) as? any WholePassRun)
    let rows = GatheredRows(width: run.gatheredWidth)
    run.gathered = rows
    try net.forward()
    return (try net.outputs().map { $0[0] }, try #require(run.tables(over: rows).first))
  }

  @Test func tellsEachAttributeAndTheMean() throws {
    let (values, table) = try run(oneBlob(nil, nil, #"name: "smiling" name: "bald""#))
    #expect(values == [0.75, Float((first + 0.75) / 2)])
    #expect(table.lines.map(\.name) == ["smiling", "bald", "mean"])
    #expect(table.lines[0].values == [0.75, first, 0.75] && table.lines[0].count == 4)
    // Nobody is bald, so that the balanced accuracy is that of the others.
    #expect(table.lines[1].values == [0.75, 0.75, 0])
    #expect(table.lines[2].values == [0.75, (first + 0.75) / 2, 0.375])
  }

  @Test func missingLabelsDoNotCount() throws {
    let net = try oneBlob([1, .nan, 1, 0, -1, 0, 0, 0])
    let (values, table) = try run(net)
    #expect(values == [1, 1] && net.labelledCount == 6)
    #expect(table.lines[0].count == 3 && table.lines[1].count == 3)
    #expect(table.lines.map(\.name) == ["in1[0]", "in1[1]", "mean"])
    let (none, empty) = try run(oneBlob([1, .nan, 1, .nan, 1, .nan, 0, .nan]))
    // The mean is over the attributes that have labels.
    #expect(none[0] == 0.75 && empty.lines[1].values == [nil, nil, nil] && empty.lines[1].count == 0)
  }

  @Test func scoresThatAreNoNumbersAreWrong() throws {
    #expect(try run(oneBlob(nil, [Float](repeating: .nan, count: 8))).values == [0, 0])
  }

  /// Heads of two classes and one label, as SoftmaxWithLoss takes them, give the same.
  @Test func takesAPairOfBlobsForEachAttribute() throws {
    let net = try SweepNet(
      LayerExample(
        "heads",
        inputs: [.normal([4, 2]), .labels([4], classes: 2), .normal([4, 2]), .labels([4, 1], classes: 2)],
        """
        layer { name: "a" type: "AttributeAccuracy" bottom: "in0" bottom: "in1" bottom: "in2" bottom: "in3" top: "a"
          top: "balanced" }
        """, phase: .test, checksGradient: false), engine: ReferenceEngine())
    for attribute in 0..<2 {
      net.fillInput(2 * attribute) { $0 % 2 == 0 ? 7 : 7 + scores[$0 / 2 * 2 + attribute] }
      net.fillInput(2 * attribute + 1) { labels[2 * $0 + attribute] }
    }
    let (values, table) = try run(net)
    #expect(values == [0.75, Float((first + 0.75) / 2)])
    #expect(table.lines.map(\.name) == ["in1", "in3", "mean"])
  }

  @Test func tellsWhatIsWrong() {
    let names = #expect(throws: (any Error).self) { try oneBlob(nil, nil, #"name: "smiling""#) }
    #expect(names.map { "\($0)".contains("1 names are given for 2 attributes") } == true)
  }
}
