import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Testing

@testable import Solvers

/// A loss or a gradient that is no number: what is told of it, and what becomes of the run.
@Suite struct NonFiniteTests {
  private let job: SolverJob
  private static let plain = """
    layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "records" batch_size: 4 } }
    layer { name: "hidden" type: "InnerProduct" bottom: "data" top: "hidden" inner_product_param { num_output: 6
      weight_filler { type: "xavier" } } }
    layer { name: "bn" type: "BatchNorm" bottom: "hidden" top: "bn" }
    layer { name: "score" type: "InnerProduct" bottom: "bn" top: "score" inner_product_param { num_output: 3
      weight_filler { type: "xavier" } } }
    layer { name: "loss_kind" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss_kind" }
    """
  private static let solver = #"base_lr: 0.05 lr_policy: "fixed" max_iter: 9 display: 1"#

  init() throws {
    job = try SolverJob()
    try job.write(Self.plain, to: "plain.prototxt")
  }

  private func solver(_ policy: NonFinitePolicy, _ more: String = "", net: String = "plain.prototxt") throws -> Solver {
    try job.solver(Self.solver + more, net: net) { _ in
      var options = Solver.Options()
      options.nonFinitePolicy = policy
      return options
    }
  }

  private func breakRecord(_ index: Int) throws {
    try job.writeRecords { $0 == index ? [1, .nan, 0, 0, 0] : nil }
  }

  @Test func namesTaskBlobLayerAndRecord() throws {
    try breakRecord(6)
    let solver = try solver(.stop, " snapshot: 1")
    let fault = #expect(throws: Diagnostic.self) { try solver.solve() }
    #expect(solver.iteration == 1)
    let text = fault?.description ?? ""
    #expect(fault?.code == .nonFinite && fault?.layer?.name == "data")
    for part in [
      "iteration 1: loss 'loss_kind' (task 'kind') is nan", "blob 'data' (1 of 20 values)",
      "the records in 'records': '106_record'\n", "snap_iter_1.solverstate', is whole",
    ] { #expect(text.contains(part), "\(part) in \(text)") }
    let found = job.newest().point
    #expect(found?.runState?.iteration == 1)
  }

  @Test func namesTheLayerWhoseWeightsAreNoNumbers() throws {
    let solver = try solver(.stop)
    solver.nets.train.parameterTable.unique.first { $0.layerName == "score" }?.parameter.values[0] = .nan
    let fault = #expect(throws: Diagnostic.self) { try solver.solve() }
    #expect(fault?.layer?.name == "score")
    #expect(fault?.message.contains("the layer's parameter 'weights' holds values that are no numbers") == true)
  }

  /// The loss is a number, and its gradient overflows.
  @Test func namesAGradientThatIsNoNumber() throws {
    try job.writeRecords { _ in [3e38, 0, 0, 0, 0] }
    try job.write(
      """
      layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "records" batch_size: 4 } }
      layer { name: "score" type: "InnerProduct" bottom: "data" top: "score" inner_product_param { num_output: 3 } }
      layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss" loss_weight: 100 }
      """, to: "steep.prototxt")
    let solver = try solver(.stop, net: "steep.prototxt")
    let before = solver.nets.train.parameterTable.unique.map { $0.parameter.values[0] }
    let fault = #expect(throws: Diagnostic.self) { try solver.solve() }
    #expect(
      fault?.message.contains("the losses are numbers, but not their gradients") == true, "\(fault?.description ?? "")")
    #expect(fault?.message.contains("the gradient of the weights") == true)
    #expect(solver.nets.train.parameterTable.unique.map { $0.parameter.values[0] } == before)
  }

  @Test func namesWeightsOfLossesThatOverflow() throws {
    try job.write(
      Self.plain.replacing(#"top: "loss_kind""#, with: #"top: "loss_kind" loss_weight: 3.4e38"#), to: "steep.prototxt")
    let solver = try solver(.stop, net: "steep.prototxt")
    let fault = #expect(throws: Diagnostic.self) { try solver.solve() }
    #expect(fault?.message.contains("their sum times the weights is inf") == true, "\(fault?.description ?? "")")
  }

  /// Only the broken batch is missed, and the statistics of BatchNorm stay clean.
  @Test(arguments: ["", " iter_size: 2"])
  func skipsTheIteration(_ more: String) throws {
    try breakRecord(6)
    let solver = try solver(.skip, more)
    #expect(try solver.solve())
    #expect(solver.iteration == 9)
    #expect(solver.nets.train.clock.pass == (more.isEmpty ? 9 : 18))
    // One batch of three holds the record.
    let skipped = job.lines.all.filter { $0.contains("the iteration is skipped") }.count
    #expect(skipped == (more.isEmpty ? 3 : 6))
    for entry in solver.nets.train.parameterTable.unique {
      #expect((0..<entry.parameter.count).allSatisfy { entry.parameter.values[$0].isFinite }, "\(entry.layerName)")
    }
  }

  @Test func skippingEndsWhereItDoesNotHelp() throws {
    try job.writeRecords { _ in [1, .nan, 0, 0, 0] }
    let solver = try solver(.skip)
    for _ in 0..<20 { _ = try solver.step() }
    let fault = #expect(throws: Diagnostic.self) { _ = try solver.step() }
    #expect(fault?.description.contains("20 iterations in a row were skipped") == true)
  }

  /// A run that diverges: the lower rate mends it.
  @Test func rollsBackWithHalfTheRate() throws {
    let recorder = Recorder()
    let net = SolverJob.net.replacing(#"include { phase: TEST }"#, with: "")
    try job.write(net, to: "rolling.prototxt")
    let solver = try job.solver(
      #"base_lr: 0.1 lr_policy: "fixed" max_iter: 12 snapshot: 4 display: 1"#, net: "rolling.prototxt"
    ) { _ in
      var options = Solver.Options()
      options.nonFinitePolicy = .rollback
      options.recorders = [recorder]
      return options
    }
    for _ in 0..<4 { _ = try solver.step() }
    try solver.snapshot()
    for _ in 0..<2 { _ = try solver.step() }
    // As an update that was too large leaves it.
    solver.nets.train.parameterTable.unique[0].parameter.values[0] = .infinity
    #expect(try solver.solve())
    #expect(solver.iteration == 12)
    #expect(recorder.starts == [6, 4])
    #expect(
      job.lines.all.contains { $0.contains("back to the snapshot of iteration 4, with the learning rate times 0.5") })
    #expect(recorder.records.last?.rate == 0.05)
    #expect(try RunState.read("\(job.path)/snap_iter_12.runstate").rateFactor == 0.5)
  }

  @Test func rollbackEndsWhereItDoesNotHelp() throws {
    try breakRecord(6)
    let early = try solver(.rollback)
    let none = #expect(throws: Diagnostic.self) { try early.solve() }
    #expect(none?.description.contains("there is no snapshot to go back to") == true)
    let solver = try solver(.rollback, " snapshot: 1")
    let fault = #expect(throws: Diagnostic.self) { try solver.solve() }
    #expect(fault?.description.contains("5 rollbacks led here again") == true)
    #expect(solver.iteration == 1)
  }
}
