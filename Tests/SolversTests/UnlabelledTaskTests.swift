import CaffeSchema
import Foundation
import Nets
import Testing

@testable import Solvers

/// A task without any label in the whole set: nothing of it is learned or told, and the others go on.
@Suite struct UnlabelledTaskTests {
  private let job: SolverJob

  init() throws {
    job = try SolverJob()
    let net = SolverJob.net.replacing(
      #"bottom: "size" bottom: "label" top: "loss_size""#, with: #"bottom: "size" bottom: "none" top: "loss_size""#)
    let labels = """
      layer { name: "none" type: "DummyData" top: "none" dummy_data_param { shape { dim: 4 dim: 1 }
        data_filler { value: nan } } }
      """
    try job.write(labels + "\n" + net, to: "holes.prototxt")
  }

  @Test func isToldAsUnknown() throws {
    let solver = try job.solver(net: "holes.prototxt") { [job] _ in
      var options = Solver.Options()
      options.recorders = [MetricsFile(snapshotPrefix: "\(job.path)/snap", warn: { Issue.record("\($0)") })]
      return options
    }
    #expect(try solver.solve())
    let told = job.lines.all.filter { $0.contains("loss_size") }
    #expect(told.count == 26)
    #expect(told.allSatisfy { $0.hasSuffix("loss_size = - (no label)") })
    let lines = String(decoding: try job.contents("snap_metrics.jsonl"), as: UTF8.self).split(separator: "\n")
    let measured = lines.filter { $0.contains(#""losses""#) && $0.contains(#""metrics""#) && !$0.contains("event") }
    #expect(measured.count == 26)
    #expect(measured.allSatisfy { $0.contains(#""loss_size":{"value":null,"weight":0.1,"count":0}"#) })
    #expect(!lines.contains { $0.contains("nan") })
  }

  /// Without decay its head stays what it was, and the other task learns as if this one were not there.
  @Test func learnsNothing() throws {
    let text = SolverJob.usual.replacing("weight_decay: 0.001", with: "")
    let solver = try job.solver(text, net: "holes.prototxt")
    func values(_ solver: Solver, _ layer: String) -> [[Float]] {
      solver.nets.train.parameterTable.unique.filter { $0.layerName == layer }.map {
        Array(UnsafeBufferPointer(start: $0.parameter.values, count: $0.parameter.count))
      }
    }
    let head = values(solver, "size")
    #expect(try solver.solve())
    #expect(values(solver, "size") == head)
    let without = SolverJob.net.split(separator: "\n").filter { !$0.contains("loss_size") }.joined(separator: "\n")
    try job.write(without, to: "without.prototxt")
    let alone = try job.solver(text, prefix: "alone", net: "without.prototxt")
    #expect(try alone.solve())
    #expect(values(solver, "hidden") == values(alone, "hidden"))
  }

  /// What no label was there for is left out of a mean, and never the best.
  @Test func isNeverTheBest() throws {
    let solver = try job.solver(net: "holes.prototxt")
    let metric = try BestMetric("loss_size", tests: solver.nets.tests)
    let unknown = OutputValue(name: "loss_size", value: 0, lossWeight: 0.1, count: 0)
    #expect(!metric.isBetter(metric.value([[unknown]]), than: nil))
    let all = try BestMetric("loss", tests: solver.nets.tests)
    let known = OutputValue(name: "loss_kind", value: 2, lossWeight: 1, count: 8)
    #expect(all.value([[unknown, known]]) == 2)
  }
}
