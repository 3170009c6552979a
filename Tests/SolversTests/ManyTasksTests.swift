import CaffeSchema
import Foundation
import Nets
import Tasks
import Testing

@testable import Solvers

/// Nets of one to forty tasks, in whose labels there are holes of every kind, with every weighting.
@Suite struct ManyTasksTests {
  private let job: SolverJob

  init() throws { job = try SolverJob() }

  /// The number of values of a task's label: of every fifth task two coordinates, of the others a class.
  private static func width(_ task: Int) -> Int { task % 5 == 4 ? 2 : 1 }

  /// Of every fifth task from 1 on half of the records have no label, from 2 on none has, from 3 on the first batch has
  /// none, and from 4 on one of the two coordinates is missing in half of the records.
  private static func label(_ task: Int, _ record: Int) -> [Float] {
    let value = Float((record + task) % 2)
    switch task % 5 {
    case 1: return [record % 2 == 0 ? .nan : value]
    case 2: return [.nan]
    case 3: return [record < 4 ? .nan : value]
    case 4: return [record % 2 == 0 ? .nan : value, 0.5]
    default: return [value]
    }
  }

  private static func net(_ tasks: Int) -> String {
    let tops = (0..<tasks).map { "top: \"y\($0)\"" }.joined(separator: " ")
    var place = 5
    var points = "slice_point: 5"
    for task in 0..<tasks - 1 {
      place += width(task)
      points += " slice_point: \(place)"
    }
    var text = """
      layer { name: "data" type: "Data" top: "data" data_param { source: "records" batch_size: 4 } }
      layer { name: "slice" type: "Slice" bottom: "data" top: "x" \(tops) slice_param { axis: 1 \(points) } }
      layer { name: "hidden" type: "InnerProduct" bottom: "x" top: "hidden" inner_product_param { num_output: 6
        weight_filler { type: "xavier" } } }
      layer { name: "relu" type: "ReLU" bottom: "hidden" top: "hidden" }
      """
    for task in 0..<tasks {
      let loss = width(task) == 2 ? "EuclideanLoss" : "SoftmaxWithLoss"
      text += """

        layer { name: "s\(task)" type: "InnerProduct" bottom: "hidden" top: "s\(task)" inner_product_param { num_output: 2
          weight_filler { type: "xavier" } } }
        layer { name: "loss\(task)" type: "\(loss)" bottom: "s\(task)" bottom: "y\(task)" top: "loss_\(task)"
          loss_weight: \(1 / Float(tasks)) }
        """
    }
    return text
  }

  private func values(_ solver: Solver) -> [[Float]] {
    solver.nets.train.parameterTable.unique.map {
      Array(UnsafeBufferPointer(start: $0.parameter.values, count: $0.parameter.count))
    }
  }

  @Test(arguments: [1, 2, 5, 40], MultiTaskParameter.Weighting.allCases)
  func trainAndGoOn(_ tasks: Int, _ kind: MultiTaskParameter.Weighting) throws {
    // One task has nothing to be weighted against, which is told; see `MultiTaskSettings.check`.
    guard tasks > 1 || [.fixed, .schedule].contains(kind) else { return }
    try job.writeRecords { record in
      let data: [Float] = (0..<5).map { Float(($0 * 7 + record * 5) % 11) / 5 - 1 }
      let labels: [Float] = (0..<tasks).flatMap { Self.label($0, record) }
      return data + labels
    }
    try job.write(Self.net(tasks), to: "many.prototxt")
    let schedule = kind == .schedule ? #"task { name: "0" schedule { iteration: 2 weight: 0.5 } }"# : ""
    let text = """
      base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 display: 1 test_iter: 2 test_interval: 4 max_iter: 6
      multi_task { weighting: \(kind.name) \(schedule) \(tasks > 1 ? "conflict_interval: 2" : "") }
      """
    let whole = try job.solver(text, prefix: "whole", net: "many.prototxt")
    let unlabelled = whole.nets.train.parameterTable.unique.filter { $0.layerName == "s2" }
    let before = unlabelled.map { $0.parameter.values[0] }
    for _ in 0..<3 { _ = try whole.step() }
    try whole.snapshot()
    for _ in 0..<3 { _ = try whole.step() }
    let resumed = try job.solver(text, prefix: "whole", net: "many.prototxt")
    try resumed.restore(ResumePoint("\(job.path)/whole_iter_3.solverstate"))
    for _ in 0..<3 { _ = try resumed.step() }
    #expect(values(whole) == values(resumed))
    #expect(values(whole).allSatisfy { $0.allSatisfy(\.isFinite) })
    #expect(whole.tasks.saved == resumed.tasks.saved)
    #expect(unlabelled.map { $0.parameter.values[0] } == before)
    let moved = whole.nets.train.parameterTable.unique.first { $0.layerName == "s0" }?.parameter.values[0]
    let start = try job.solver(text, prefix: "start", net: "many.prototxt").nets.train.parameterTable.unique.first {
      $0.layerName == "s0"
    }?.parameter.values[0]
    #expect(moved != start)
    #expect(job.lines.all.allSatisfy { !$0.contains("nan") && !$0.contains("starts anew") })
  }
}
