import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Testing

@testable import Solvers
@testable import Tasks

/// Tasks that stop by themselves in the course of a run.
@Suite struct TaskStoppingTests {
  private let job: SolverJob

  init() throws { job = try SolverJob() }

  /// The task 'size' stops as soon as its validation loss rises; 'kind' never.
  private static let stopping =
    usual(tests: 2, end: 24)
    + " multi_task { stopping { threshold: 0 window: 2 smoothing: 1 tests: 1 } "
    + #"task { name: "size" stop_threshold: 1e-9 } }"#

  private static func usual(tests: Int, end: Int) -> String {
    SolverJob.usual.replacing("test_interval: 4", with: "test_interval: \(tests)")
      .replacing("max_iter: 20", with: "max_iter: \(end)")
  }

  private func values(_ solver: Solver, _ layer: String) -> [[Float]] {
    solver.nets.train.parameterTable.unique.filter { $0.layerName == layer }.map {
      Array(UnsafeBufferPointer(start: $0.parameter.values, count: $0.parameter.count))
    }
  }

  private func untilStopped(_ solver: Solver) throws -> Int {
    for _ in 0..<24 {
      _ = try solver.step()
      if let stopped = solver.stopping?.states["size"]?.stoppedAt { return stopped }
    }
    Issue.record("the task never stopped")
    return 0
  }

  @Test func aStoppedTaskLeavesTheNetAndItsHeadStays() throws {
    let solver = try job.solver(Self.stopping)
    let stopped = try untilStopped(solver)
    #expect(solver.stopping?.states["kind"]?.stoppedAt == nil)
    #expect(solver.nets.train.losses.map(\.term.name) == ["loss_kind"])
    #expect(!solver.nets.train.forwardSteps.contains { $0.name == "size" })
    let (head, other) = (values(solver, "size"), values(solver, "score"))
    _ = try solver.step()
    #expect(values(solver, "size") == head)
    #expect(values(solver, "score") != other)
    #expect(try solver.solve())
    #expect(values(solver, "size") == head)
    #expect(job.lines.all.contains { $0.hasPrefix("task 'size' stops at iteration \(stopped): ") })
    // Tests go on, with the weights as they are.
    #expect(job.lines.all.last { $0.contains("loss_size = ") }?.contains("Test net output") == true)
    let weights = try NetSource.readWeights("\(job.path)/snap_iter_24.caffemodel")
    #expect(weights.layer.first { $0.name == "size" }?.blobs.first?.data == head[0])
  }

  /// The net with a head that has been trained on, and the one whose head went back to its best test.
  @Test(arguments: [true, false])
  func theHeadGoesBackToItsBestTest(_ restores: Bool) throws {
    let text = Self.stopping.replacing("stopping {", with: "stopping { restore_head: \(restores)")
    let solver = try job.solver(text)
    var heads: [(iteration: Int, values: [[Float]])] = []
    while solver.stopping?.states["size"]?.stoppedAt == nil {
      if solver.iteration % 2 == 0 { heads.append((solver.iteration, values(solver, "size"))) }
      _ = try solver.step()
      try #require(solver.iteration < 24)
    }
    let stopped = try #require(solver.stopping?.states["size"]?.stoppedAt)
    let tests = job.lines.all.filter { $0.contains("Test net output") && $0.contains(": loss_size = ") }
      .compactMap { Float($0.split(separator: "loss_size = ")[1].prefix { $0.isNumber || $0 == "." }) }
    // The last test is the one that stops the task.
    let best = try #require(tests.indices.min { tests[$0] < tests[$1] })
    #expect(best < tests.count - 1 && heads.count == tests.count && heads[tests.count - 1].iteration == stopped)
    #expect(values(solver, "size") == heads[restores ? best : tests.count - 1].values)
    #expect(heads[best].values != heads[tests.count - 1].values)
  }

  /// The best head is part of the snapshot, in both forms.
  @Test(arguments: ["BINARYPROTO", "HDF5"])
  func aResumedRunKnowsTheBestHead(_ format: String) throws {
    let text = Self.stopping + " snapshot_format: \(format)"
    let whole = try job.solver(text, prefix: "whole")
    let stopped = try untilStopped(whole)
    let head = values(whole, "size")
    let first = try job.solver(text, prefix: "first")
    for _ in 0..<stopped { _ = try first.step() }
    try first.snapshot()
    let ending = format == "HDF5" ? ".h5" : ""
    let resumed = try job.solver(text, prefix: "first")
    try resumed.restore(ResumePoint("\(job.path)/first_iter_\(stopped).solverstate\(ending)"))
    _ = try resumed.step()
    #expect(resumed.stopping?.states["size"]?.stoppedAt == stopped)
    #expect(values(resumed, "size") == head)
  }

  /// Whether the snapshot was made before or after the task stopped.
  @Test(arguments: [-1, 0, 3])
  func goesOnBitForBit(_ offset: Int) throws {
    let stopped = try untilStopped(job.solver(Self.stopping))
    let whole = try job.solver(Self.stopping, prefix: "whole")
    let at = max(1, stopped + offset)
    for _ in 0..<at { _ = try whole.step() }
    try whole.snapshot()
    job.lines.clear()
    #expect(try whole.solve())
    let expected = job.lines.timeless
    job.lines.clear()
    let resumed = try job.solver(Self.stopping, prefix: "resumed")
    try resumed.restore(ResumePoint("\(job.path)/whole_iter_\(at).solverstate"))
    #expect(try resumed.solve())
    let log = job.lines.timeless.drop { !$0.hasPrefix("Solving") }.map {
      $0.replacing("resumed_iter", with: "whole_iter")
    }
    #expect(log == expected)
    #expect(
      try NetSource.readWeights("\(job.path)/whole_iter_24.caffemodel").layer.map(\.blobs)
        == NetSource.readWeights("\(job.path)/resumed_iter_24.caffemodel").layer.map(\.blobs))
    let states = try ["whole", "resumed"].map { try RunState.read("\(job.path)/\($0)_iter_24.runstate").stopping }
    #expect(states[0] == states[1] && states[0]?["size"]?.stoppedAt == stopped)
  }

  /// The state of the weighting goes on for the tasks that are left, and a run that is resumed is the same.
  @Test(arguments: [
    "SCHEDULE", "UNCERTAINTY", "DWA", "RLW", "GLS", "GRADNORM", "IMTL", "PCGRAD", "CAGRAD", "MGDA", "NASH", "ALIGNED",
    "FAMO", "STCH", "UPGRAD",
  ])
  func goesOnWithEveryWeighting(_ weighting: String) throws {
    let more = [
      "SCHEDULE": #"task { name: "kind" schedule { weight: 0.5 } }"#, "DWA": "average_iter: 2", "STCH": "scale_iter: 2",
    ]
    let text = Self.stopping.replacing(
      "multi_task {", with: "multi_task { weighting: \(weighting) \(more[weighting] ?? "")")
    let solver = try job.solver(text, prefix: "whole")
    // No validation loss need rise: the task is stopped by hand.
    for _ in 0..<8 { _ = try solver.step() }
    solver.stopping?.states["size"]?.stoppedAt = 8
    try solver.leaveOutStoppedTasks()
    #expect(solver.nets.train.losses.map(\.term.name) == ["loss_kind"])
    for _ in 0..<2 { _ = try solver.step() }
    try solver.snapshot()
    let head = values(solver, "size")
    #expect(try solver.solve())
    #expect(values(solver, "size") == head)
    #expect(values(solver, "score").allSatisfy { $0.allSatisfy(\.isFinite) })
    let resumed = try job.solver(text, prefix: "resumed")
    try resumed.restore(ResumePoint("\(job.path)/whole_iter_10.solverstate"))
    #expect(try resumed.solve())
    #expect(values(resumed, "score") == values(solver, "score"))
    #expect(values(resumed, "hidden") == values(solver, "hidden"))
  }

  /// Going back to a snapshot from before brings the task back.
  @Test func aRollbackBringsTheTaskBack() throws {
    let solver = try job.solver(Self.stopping)
    _ = try solver.step()
    try solver.snapshot()
    _ = try untilStopped(solver)
    #expect(try solver.goBack())
    #expect(solver.nets.train.losses.count == 2)
    #expect(solver.stopping?.states["size"]?.stoppedAt == nil)
  }

  @Test func theEventIsInTheMetricsFile() throws {
    let solver = try job.solver(Self.stopping) { _ in
      var options = Solver.Options()
      options.recorders = [MetricsFile(snapshotPrefix: "\(job.path)/snap", warn: { _ in })]
      return options
    }
    #expect(try solver.solve())
    let lines = String(decoding: try job.contents("snap_metrics.jsonl"), as: UTF8.self).split(separator: "\n")
    let stopped = solver.stopping?.states["size"]?.stoppedAt ?? -1
    #expect(lines.contains { $0.hasPrefix(#"{"iteration":\#(stopped),"phase":"event","stopped":"size","value":"#) })
    #expect(lines.contains { $0.contains(#""phase":"event","stopping":{"kind":0"#) })
  }

  @Test func allTasksStoppedEndTheTraining() throws {
    let text =
      Self.usual(tests: 2, end: 400) + " multi_task { stopping { threshold: 1e-9 window: 2 smoothing: 1 tests: 1 } }"
    let solver = try job.solver(text)
    #expect(try solver.solve())
    #expect(solver.iteration < 400)
    #expect(job.lines.all.contains("all tasks have stopped, and so does the training"))
    let end = solver.iteration
    let again = try job.solver(text)
    try again.restore(ResumePoint("\(job.path)/snap_iter_\(end).solverstate"))
    #expect(try again.solve())
    #expect(again.iteration == end)
  }

  /// The last test changes the heads, and the snapshot of its iteration was made before it.
  @Test func theLastSnapshotHasTheHeadsThatWentBack() throws {
    let text =
      Self.usual(tests: 2, end: 400) + " multi_task { stopping { threshold: 1e-9 window: 2 smoothing: 1 tests: 1 } }"
    let solver = try job.solver(text + " snapshot: 2") { _ in
      var options = Solver.Options()
      options.keptSnapshots = 2
      options.recorders = [MetricsFile(snapshotPrefix: "\(job.path)/snap", warn: { _ in })]
      return options
    }
    #expect(try solver.solve())
    let end = solver.iteration
    let heads = [values(solver, "size"), values(solver, "score")]
    #expect(try RunState.read("\(job.path)/snap_iter_\(end).runstate").kept == [end - 2, end])
    let again = try job.solver(text) { _ in
      var options = Solver.Options()
      options.recorders = [MetricsFile(snapshotPrefix: "\(job.path)/snap", warn: { _ in })]
      return options
    }
    try again.restore(ResumePoint("\(job.path)/snap_iter_\(end).solverstate"))
    #expect([values(again, "size"), values(again, "score")] == heads)
    // It has nothing to do, and takes nothing away from what is told of the run.
    let told = try job.contents("snap_metrics.jsonl")
    #expect(try again.solve())
    #expect(again.iteration == end)
    #expect(try job.contents("snap_metrics.jsonl") == told)
  }

  @Test func patienceEndsTheTrainingWhenNoTaskGetsBetter() throws {
    let text =
      Self.usual(tests: 1, end: 400).replacing("base_lr: 0.05", with: "base_lr: 0")
      + " multi_task { patience: 3 keep_best: true }"
    let solver = try job.solver(text)
    #expect(try solver.solve())
    // The statistics of BatchNorm may move a metric by chance, but not for long.
    #expect(solver.iteration < 400)
    #expect(solver.testsWithoutGain == 3)
    #expect(job.lines.all.contains { $0.hasPrefix("no task got better in 3 tests in a row") })
    let names = try job.names()
    #expect(names.contains("snap_best_kind.caffemodel") && names.contains("snap_best_size.caffemodel"))
    #expect(names.contains("snap_best.caffemodel"))
  }

  static let faults: [(text: String, message: String)] = [
    ("multi_task { stopping { rule: PAPER } }", "rule: PAPER needs a threshold"),
    ("multi_task { stopping { window: 0 } }", "window must be at least 1"),
    ("multi_task { stopping { } validation_net: 1 }", "the solver has no test net 1"),
    ("multi_task { patience: 3 validation_net: 2 }", "patience looks at test net 2, which the solver does not have"),
    (#"multi_task { keep_best: true task { name: "kind" main_metric: "size" } }"#, "task 'kind' has no output 'size'"),
  ]

  @Test(arguments: faults)
  func tellsWhatDoesNotFit(_ text: String, _ message: String) throws {
    do {
      _ = try job.solver("\(SolverJob.usual) \(text)")
      Issue.record("no fault")
    } catch let fault as Diagnostic {
      #expect(fault.message.contains(message), "\(fault)")
      #expect(fault.location?.line == 1 || fault.location?.line == 2)
    }
  }
}
