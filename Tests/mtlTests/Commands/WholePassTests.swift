import CaffeSchema
import ComputeReference
import Foundation
import HDF5Files
import Layers
import Nets
import Records
import Solvers
import Testing

@testable import mtl

/// Metrics of a whole test: ten embeddings on a line in batches of 4. In each batch alone no label comes twice.
@Suite final class WholePassTests {
  static let embeddings: [Float] = [0, 10, 20, 30, 0.1, 10.1, 20.1, 30.1, 40, 0.05]
  static let labels: [Float] = [0, 1, 2, 3, 0, 1, 2, 3, 4, 4]

  private let folder: String

  init() throws {
    folder = NSTemporaryDirectory() + "mtl-whole-pass-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let writer = try HDF5Writer(writing: folder + "/rows.h5")
    try writer.write("x", shape: [10, 1], Self.embeddings)
    try writer.write("y", shape: [10, 1], Self.labels)
    try writer.finish()
    try Data("rows.h5\n".utf8).write(to: URL(fileURLWithPath: folder + "/list.txt"))
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  private func source(batch: Int = 4) throws -> NetSource {
    let text = """
      layer { name: "d" type: "HDF5Data" top: "x" top: "y" hdf5_data_param { source: "list.txt" batch_size: \(batch) } }
      layer { name: "r" type: "RetrievalAccuracy" bottom: "x" bottom: "y" top: "recall@1" top: "recall@9" top: "mAP"
        retrieval_accuracy_param { recall_at: 1 recall_at: 9 } }
      layer { name: "v" type: "VerificationAccuracy" bottom: "x" bottom: "y" top: "verified"
        verification_accuracy_param { folds: 2 } }
      """
    return try NetSource(text: text, file: folder + "/net.prototxt")
  }

  private func net(batch: Int = 4) throws -> Net {
    try Net(
      source(batch: batch), engine: ReferenceEngine(), catalogue: EngineOptions.catalogue,
      options: NetOptions(phase: .test))
  }

  private func evaluation() throws -> Evaluation.Outcome {
    try Evaluation(
      source: source(), state: NetOptions(phase: .test).state, weights: NetParameter(), origin: "none",
      engine: ReferenceEngine()
    )
    .run(iterations: nil)
  }

  /// Of the ten, 0 and 0.1 have 0.05 nearer than each other, and the two of label 4 are far apart: 6 of 10 are found at
  /// once. Their precisions are 1/2, 1/2, 1/8 (40 to 0.05: all but 0 are nearer) and 1/9.
  static let expected = ["recall@1": 0.6, "recall@9": 1, "mAP": (6 + 1 + 1 / 8.0 + 1 / 9.0) / 10]

  private func output(_ name: String, of pass: TestPass) throws -> OutputValue {
    try #require(pass.outputs.first { $0.name == name })
  }

  @Test func looksAtAllBatchesAndTheRest() throws {
    let outcome = try evaluation()
    #expect(outcome.warnings.isEmpty)
    #expect(outcome.table.contains("recall@1  0.6000     -       -       10"), "\(outcome.table)")
    #expect(outcome.table.contains("mAP       0.7236     -       -       10"), "\(outcome.table)")
    // Five pairs of neighbours; 0 to 10 and so on are all unlike, 40 and 0.05 alike and farthest, so that none is taken for
    // alike: all of 2 and 2 of 3 are right.
    #expect(outcome.table.contains("verified  0.8333     -       -        5"), "\(outcome.table)")
  }

  @Test func isTheSameWhateverTheBatches() throws {
    for batch in [1, 2, 5, 10] {
      var pass = TestPass(try net(batch: batch))
      try pass.run(iterations: 10 / batch)
      for (name, expected) in Self.expected {
        let output = try output(name, of: pass)
        #expect(abs(Double(output.value) - expected) < 1e-6)
        #expect(output.count == 10)
      }
    }
  }

  /// A record that came a second time would be nearest to itself.
  @Test func recordsOfAnotherRoundDoNotCount() throws {
    let net = try net()
    for _ in 0..<2 {
      var pass = TestPass(net)
      try pass.run(iterations: 5)
      let recall = try output("recall@1", of: pass)
      #expect(abs(Double(recall.value) - 0.6) < 1e-6)
      #expect(recall.count == 10)
    }
  }

  /// Outside of a test the tops are those of the batch, and nothing is kept.
  @Test func aBatchAlone() throws {
    let net = try net()
    try net.forward()
    var pass = TestPass(net)
    pass.add()
    // Both pairs are unlike and told so.
    #expect(pass.outputs.map(\.value) == [0, 0, 0, 1])
    let runs = net.graph.nodes.indices.compactMap { net.run(ofLayer: $0) as? any WholePassRun }
    #expect(runs.count == 2 && runs.allSatisfy { $0.gathered == nil })
    var test = TestPass(net)
    do {
      try test.run(iterations: 3) { _ in throw CancellationError() }
      Issue.record("the test went on")
    } catch is CancellationError {}
    #expect(runs.allSatisfy { $0.gathered == nil })
  }

  /// Three pictures of two positions in batches of two, so that the first comes twice. Found: 0 1, 1 1, 0 0; labelled: 0 0,
  /// 1 1, 0 1. Of either class 2 of 3 are found, and 2 of the 4 that are labelled so or found to be.
  @Test func aSegmentationIsCountedAsAWhole() throws {
    let writer = try HDF5Writer(writing: folder + "/pictures.h5")
    try writer.write("s", shape: [3, 2, 1, 2], [1, 0, 0, 1, 0, 0, 1, 1, 1, 1, 0, 0])
    try writer.write("t", shape: [3, 1, 1, 2], [0, 0, 1, 1, 0, 1])
    try writer.finish()
    try Data("pictures.h5\n".utf8).write(to: URL(fileURLWithPath: folder + "/pictures.txt"))
    let text = """
      layer { name: "d" type: "HDF5Data" top: "s" top: "t" hdf5_data_param { source: "pictures.txt" batch_size: 2 } }
      layer { name: "a" type: "SegAccuracy" bottom: "s" bottom: "t" top: "a" seg_accuracy_param { reset: false } }
      """
    let net = try Net(
      NetSource(text: text, file: folder + "/pictures.prototxt"), engine: ReferenceEngine(),
      catalogue: EngineOptions.catalogue, options: NetOptions(phase: .test))
    var pass = TestPass(net)
    try pass.run(iterations: 2)
    let share: Float = 2 / 3
    let values = pass.outputs.map(\.value)
    #expect(values == [share, share, 0.5])
    #expect(pass.outputs.map(\.count) == [6, 6, 6])
    let table = try #require(pass.tables.first?.table)
    #expect(table.lines.map(\.name) == ["0", "1", "mean"])
    let overlaps = table.lines.compactMap { $0.values[1] }
    #expect(overlaps == [0.5, 0.5, 0.5])
  }

  @Test func curvesAsTextAndPictures() throws {
    let outcome = try evaluation()
    let pictures = try outcome.writePlots(into: folder + "/plots")
    #expect(pictures == ["r_recall", "v_roc"].map { folder + "/plots/\($0).svg" })
    for picture in pictures {
      let text = String(decoding: try #require(FileManager.default.contents(atPath: picture)), as: UTF8.self)
      #expect(text.contains("<svg") && text.contains("<path"))
    }
    let recall = try CurveFile.read(folder + "/plots/r_recall.tsv")
    #expect(recall.title == "recall@K" && recall.x.label == "K" && recall.x.isLogarithmic && !recall.y.isLogarithmic)
    #expect(recall.points.map(\.x) == (1...9).map(Float.init))
    #expect(recall.points.map(\.y) == [0.6, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.9, 1])
    // 40 to 0.05 is the only alike pair, and the four others are nearer.
    let roc = try CurveFile.read(folder + "/plots/v_roc.tsv")
    #expect(roc.points.map(\.x) == [0, 1, 1])
    #expect(roc.points.map(\.y) == [0, 0, 1])
  }

  @Test func severalCurvesInOnePicture() throws {
    for name in ["one", "other"] {
      try FileManager.default.createDirectory(atPath: folder + "/" + name, withIntermediateDirectories: true)
      let curve = MetricCurve("roc", title: "it's", x: .init("a"), y: .init("b"), points: [(0, 0), (1, 0.5)])
      try Data(CurveFile.text(of: curve).utf8).write(to: URL(fileURLWithPath: folder + "/\(name)/roc.tsv"))
    }
    let files = ["one", "other"].map { folder + "/\($0)/roc.tsv" }
    for file in files { #expect(CurveFile.isOne(file)) }
    #expect(!CurveFile.isOne(folder + "/list.txt"))
    #expect(CurveFile.names(of: files) == ["one", "other"])
    #expect(CurveFile.names(of: ["x/a.tsv", "y/b.tsv"]) == ["a", "b"])
    let script = MetricPlot(curves: try files.map { ($0, try CurveFile.read($0)) }).script(
      format: "svg", output: "o.svg")
    #expect(script.contains("set title 'it''s'"))
    #expect(script.contains("$c0 << END\n0.0 0.0\n1.0 0.5\nEND"))
    #expect(script.contains("'\(files[1])'"))
  }
}
