import CaffeSchema
import Foundation
import Nets
import Testing

@testable import Solvers

/// The lines of `debug_info`, as Caffe 1.0 prints them.
@Suite struct DebugInfoTests {
  private let job: SolverJob

  init() throws {
    job = try SolverJob()
    try job.write(
      """
      layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param { shape { dim: 2 dim: 2 }
        shape { dim: 2 dim: 1 } data_filler { value: -2 } data_filler { value: 1 } } }
      layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" param { name: "w" } inner_product_param {
        num_output: 1 weight_filler { value: 0.5 } bias_filler { value: 1 } } }
      layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
      """, to: "debug.prototxt")
  }

  private func lines(_ more: String) throws -> [String] {
    let solver = try job.solver(
      #"base_lr: 0.1 lr_policy: "fixed" max_iter: 2 snapshot_after_train: false "# + more, net: "debug.prototxt")
    #expect(try solver.solve())
    return job.lines.all.filter { $0.contains("[") }
  }

  /// ip is -2 x 0.5 x 2 + 1 = -1, the loss (-1 - 1)^2 / 2 = 2; the gradient of ip is -2 / 2 for each record.
  @Test func areTheMeansOfEachLayer() throws {
    #expect(
      try lines("debug_info: true display: 2").prefix(12) == [
        "    [Forward] Layer data, top blob data data: 2",
        "    [Forward] Layer data, top blob label data: 1",
        "    [Forward] Layer ip, top blob ip data: 1",
        "    [Forward] Layer ip, param blob w data: 0.5",
        "    [Forward] Layer ip, param blob 1 data: 1",
        "    [Forward] Layer loss, top blob loss data: 2",
        "    [Backward] Layer loss, bottom blob ip diff: 1",
        "    [Backward] Layer ip, param blob 0 diff: 4",
        "    [Backward] Layer ip, param blob 1 diff: 2",
        "    [Backward] All net params (data, diff): L1 norm = (2, 10); L2 norm = (1.22474, 6)",
        "    [Update] Layer ip, param w data: 0.5; diff: 0.4",
        "    [Update] Layer ip, param 1 data: 1; diff: 0.2",
      ])
  }

  @Test func comeAtDisplaysAlone() throws {
    #expect(try lines("debug_info: true display: 2").count { $0.contains("[Backward] All") } == 1)
    job.lines.clear()
    #expect(try lines("debug_info: true display: 1").count { $0.contains("[Backward] All") } == 2)
    job.lines.clear()
    #expect(try lines("debug_info: true").isEmpty)
    job.lines.clear()
    #expect(try lines("display: 1").isEmpty)
  }

  @Test func testsTellTheirForwardPasses() throws {
    let lines = try lines("debug_info: true test_iter: 2 test_interval: 5")
    #expect(lines.count { $0.contains("[Forward] Layer ip, top blob ip") } == 2)
    #expect(!lines.contains { $0.contains("[Backward]") })
  }
}
