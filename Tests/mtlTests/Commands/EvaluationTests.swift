import CaffeSchema
import ComputeReference
import Diagnostics
import Foundation
import HDF5Files
import Nets
import Testing

@testable import mtl

/// Tests over a file of 10 rows in batches of 4: row r has data r and label 0, so half its squared distance is r * r / 2.
@Suite final class EvaluationTests {
  private let folder: String

  init() throws {
    folder = NSTemporaryDirectory() + "mtl-evaluation-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    let writer = try HDF5Writer(writing: folder + "/rows.h5")
    try writer.write("data", shape: [10, 1], (0..<10).map(Float.init))
    try writer.write("label", shape: [10, 1], [Float](repeating: 0, count: 10))
    try writer.finish()
    try Data("rows.h5\n".utf8).write(to: URL(fileURLWithPath: folder + "/list.txt"))
  }

  deinit { try? FileManager.default.removeItem(atPath: folder) }

  private func evaluate(_ more: String = "") throws -> Evaluation.Outcome {
    let text = """
      layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { source: "list.txt" batch_size: 4 } }
      layer { name: "loss" type: "EuclideanLoss" bottom: "data" bottom: "label" top: "loss" }
      \(more)
      """
    let source = try NetSource(text: text, file: folder + "/net.prototxt")
    return try Evaluation(
      source: source, state: NetOptions(phase: .test).state, weights: NetParameter(), origin: "none",
      engine: ReferenceEngine()
    )
    .run(iterations: nil)
  }

  @Test func takesEachRecordOnce() throws {
    let outcome = try evaluate(
      #"layer { name: "o" type: "HDF5Output" bottom: "data" bottom: "label" hdf5_output_param { file_name: "\#(folder)/out.h5" } }"#
    )
    #expect(outcome.warnings.isEmpty)
    // The mean of r * r / 2 over all ten.
    #expect(outcome.table.contains("14.25"), "\(outcome.table)")
    #expect(try HDF5File(reading: folder + "/out.h5").dataset("data").floats() == (0..<10).map(Float.init))
  }

  /// What a snapshot's net has in stages, it has for who names one.
  @Test func tellsTheStagesOfTests() throws {
    let text = """
      layer { name: "d" type: "HDF5Data" top: "data" include { phase: TRAIN } }
      layer { name: "v" type: "HDF5Data" top: "data" include { phase: TEST stage: "val" } }
      layer { name: "t" type: "HDF5Data" top: "data" include { phase: TEST stage: "test" } }
      layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" }
      """
    let net = try NetParameter(textFormatString: text)
    let fault = #expect(throws: Diagnostic.self) { try TestCommand.definition(in: net, "a.caffemodel") }
    #expect(
      fault?.message
        == "the net that 'a.caffemodel' carries reads test records in the stage 'val' or 'test' only; say which with --stage"
    )
    _ = try TestCommand.definition(in: net, "a.caffemodel") { $0.stage = ["test"] }
    // That it was trained in a stage does not say in which it is tested.
    var staged = net
    staged.state.stage = ["few"]
    #expect(throws: Diagnostic.self) { try TestCommand.definition(in: staged, "a.caffemodel") }
    let source = try TestCommand.definition(in: staged, "a.caffemodel") { $0.stage.append("test") }
    #expect(source.parameter.state.stage == ["few"])
    let bare = try NetParameter(
      textFormatString: #"layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" }"#)
    let other = #expect(throws: Diagnostic.self) { try TestCommand.definition(in: bare, "a.caffemodel") }
    #expect(other?.message.contains("does not carry the net of the TEST phase") == true)
  }

  /// Neither NaN nor 0, which would be a perfect loss.
  @Test func tellsTasksWithoutAnyLabel() throws {
    let outcome = try evaluate(
      """
      layer { name: "no" type: "DummyData" top: "no" dummy_data_param { shape { dim: 4 dim: 1 } data_filler { value: nan } } }
      layer { name: "loss_none" type: "EuclideanLoss" bottom: "data" bottom: "no" top: "loss_none" }
      """)
    let row = outcome.table.split(separator: "\n").first { $0.hasPrefix("none") }
    #expect(row?.split(separator: " ").map(String.init) == ["none", "-", "-", "-", "1", "0"])
  }

  @Test func saysWhatIsLeftOut() throws {
    let outcome = try evaluate(
      #"layer { name: "r" type: "Reshape" bottom: "label" top: "r" reshape_param { shape { dim: 2 dim: 2 } } }"#)
    #expect(
      outcome.warnings.map { "\($0)".replacing(folder, with: "WORK") } == [
        "WORK/net.prototxt:3:76: warning: layer 'r' (Reshape): with batches of 2 the net cannot be made (the top 2x2 would "
          + "have 4 values, but the bottom 2x1 has 2), so the last 2 of 10 records are left out; choose a batch_size that "
          + "divides 10"
      ])
    // The mean over the first eight.
    #expect(outcome.table.contains("8.75"), "\(outcome.table)")
  }
}
