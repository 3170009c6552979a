import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Testing

@testable import Solvers

/// A run that goes on from a snapshot is the same, bit for bit, as one that never stopped.
@Suite struct ResumeTests {
  private let job: SolverJob

  init() throws { job = try SolverJob() }

  /// Shuffled records, dropout, batch statistics, a smoothed loss over more iterations than lie behind, tests.
  @Test(arguments: [
    (1, #"type: "SGD""#), (3, #"type: "Adam" momentum2: 0.99 iter_size: 2"#), (8, #"type: "AdaDelta" delta: 1e-6"#),
    (11, #"type: "AdamW" warmup_iter: 15"#), (19, "clip_gradients: 0.5"),
    (9, "test_iter: 3 larc: true"),
    (6, #"type: "Nesterov" snapshot_format: HDF5"#),
  ])
  func isEqualBitForBit(_ stop: Int, _ more: String) throws {
    let text = "\(SolverJob.usual) \(more)"
    let whole = try job.solver(text, prefix: "whole")
    for _ in 0..<stop { _ = try whole.step() }
    try whole.snapshot()
    job.lines.clear()
    #expect(try whole.solve())
    let expected = job.lines.timeless
    job.lines.clear()
    // Another seed: the snapshot's counts, and the caller builds the nets with it.
    let ending = more.contains("HDF5") ? ".h5" : ""
    let point = try ResumePoint("\(job.path)/whole_iter_\(stop).solverstate\(ending)")
    let resumed = try job.solver(text, prefix: "resumed", seed: #require(point.runState?.seed))
    try resumed.restore(point)
    #expect(resumed.iteration == stop)
    #expect(try resumed.solve())
    let log = job.lines.timeless.drop { !$0.hasPrefix("Solving") }.map {
      $0.replacing("resumed_iter", with: "whole_iter")
    }
    #expect(log == expected)
    #expect(
      try NetSource.readWeights("\(job.path)/whole_iter_20.caffemodel\(ending)").layer.map(\.blobs)
        == NetSource.readWeights("\(job.path)/resumed_iter_20.caffemodel\(ending)").layer.map(\.blobs))
    let (a, b) = (
      try RunState.read("\(job.path)/whole_iter_20.runstate"), try RunState.read("\(job.path)/resumed_iter_20.runstate")
    )
    #expect(a.recentLosses == b.recentLosses && a.trainPass == b.trainPass && a.testPasses == b.testPasses)
  }

  @Test func aStopInATestLeavesTheTestUndone() throws {
    let whole = try job.solver(prefix: "whole")
    #expect(try whole.solve())
    let expected = job.lines.timeless
    job.lines.clear()
    let stopped = try job.solver(prefix: "stopped")
    var batches = 0
    let isDone = try stopped.solve(request: {
      batches += 1
      // Two batches of the first test, four iterations, one batch of the second.
      return batches == 7 ? .stop : .goOn
    })
    #expect(!isDone)
    #expect(job.lines.all.last == "Optimization stopped early.")
    #expect(stopped.iteration == 4)
    let resumed = try job.solver(prefix: "stopped")
    try resumed.restore(ResumePoint("\(job.path)/stopped_iter_4.solverstate"))
    job.lines.clear()
    #expect(try resumed.solve())
    let rest = expected.drop { !$0.hasPrefix("Iteration 4, Testing") }
    #expect(job.lines.timeless.dropFirst(2).map { $0.replacing("stopped_iter", with: "whole_iter") } == Array(rest))
  }

  @Test func asksForASnapshotAndGoesOn() throws {
    let solver = try job.solver()
    var asked = false
    #expect(
      try solver.solve(request: {
        guard solver.iteration == 6, !asked else { return .goOn }
        asked = true
        return .snapshot
      }))
    #expect(job.exists("snap_iter_6.solverstate") && job.exists("snap_iter_20.solverstate"))
  }

  /// What was learned before a fault of the data is kept, and once they are mended the run ends as without it.
  @Test(arguments: ["", " iter_size: 2"])
  func aFaultOfTheDataLosesNothing(_ more: String) throws {
    let text = SolverJob.usual + more
    #expect(try job.solver(text, prefix: "whole").solve())
    // In the second half of an iteration, where it has two.
    try job.writeRecords { $0 == 7 ? [1, 2, 3] : nil }
    let solver = try job.solver(text, prefix: "broken")
    let fault = #expect(throws: Diagnostic.self) { try solver.solve() }
    #expect(fault?.code == .badRecord)
    let point = try #require(job.newest("broken").point)
    #expect(point.runState?.iteration == solver.iteration)
    try job.writeRecords { _ in nil }
    let resumed = try job.solver(text, prefix: "broken")
    try resumed.restore(point)
    #expect(try resumed.solve())
    #expect(try job.contents("whole_iter_20.caffemodel") == job.contents("broken_iter_20.caffemodel"))
  }

  /// As Caffe writes them: no run state. The data start over.
  @Test func takesAStateWithoutARunState() throws {
    let solver = try job.solver()
    for _ in 0..<5 { _ = try solver.step() }
    try solver.snapshot()
    try job.remove("snap_iter_5.runstate")
    let resumed = try job.solver()
    let point = try #require(job.newest().point)
    try resumed.restore(point)
    #expect(resumed.iteration == 5 && resumed.nets.train.clock.pass == 0)
    #expect(job.lines.all.last?.contains("the data start over") == true)
  }

  @Test func theNewestIsTheOneWrittenLast() throws {
    let first = try job.solver()
    for _ in 0..<9 { _ = try first.step() }
    try first.snapshot()
    let again = try job.solver()
    for _ in 0..<2 { _ = try again.step() }
    try again.snapshot()
    #expect(job.newest().point?.path == "\(job.path)/snap_iter_2.solverstate")
    #expect(job.newest("nothing").point == nil)
  }
}

/// What does not belong together is refused with a sentence that says why.
@Suite struct MisfitTests {
  private let job: SolverJob

  init() throws { job = try SolverJob() }

  private func snapshot(_ more: String = "") throws {
    let solver = try job.solver(SolverJob.usual + more)
    _ = try solver.step()
    try solver.snapshot()
  }

  private func message(_ body: () throws -> Void) -> String {
    do {
      try body()
      return ""
    } catch let fault as Diagnostic {
      return fault.description
    } catch let faults as DiagnosticList {
      return faults.description
    } catch {
      return "\(error)"
    }
  }

  @Test func weightsForAState() throws {
    #expect(
      message { _ = try ResumePoint("\(job.path)/snap_iter_1.caffemodel") }.contains(
        "holds weights, not a solver state"))
  }

  @Test func aStateForWeights() throws {
    #expect(
      message { _ = try NetSource.readWeights("\(job.path)/snap_iter_1.solverstate") }
        .contains("is a solver state, not weights"))
  }

  @Test(arguments: [true, false])
  func aStateOfAnotherSolver(_ hasRunState: Bool) throws {
    try snapshot()
    if !hasRunState { try job.remove("snap_iter_1.runstate") }
    let adam = try job.solver(SolverJob.usual + #" type: "Adam""#)
    let text = message { try adam.restore(ResumePoint("\(job.path)/snap_iter_1.solverstate")) }
    #expect(
      text.contains(
        hasRunState
          ? #"is the state of a solver of type "SGD", and this one is of type "Adam""#
          : #"1 for each of 9 parameters where type "Adam" keeps 2"#), "\(text)")
  }

  @Test func aNetOfAnotherShape() throws {
    try snapshot()
    try job.write(SolverJob.net.replacing("num_output: 6", with: "num_output: 7"), to: "other.prototxt")
    let other = try job.solver(net: "other.prototxt")
    let before = try other.nets.train.values(ofLayer: "score")
    let state = message { try other.restore(ResumePoint("\(job.path)/snap_iter_1.solverstate")) }
    #expect(state.contains("its history of layer 'hidden' weights is 6x5, and here it is 7x5"), "\(state)")
    let weights = message {
      try other.nets.train.load(NetSource.readWeights("\(job.path)/snap_iter_1.caffemodel"), from: "w")
    }
    #expect(weights.contains("layer 'hidden' (InnerProduct): weights is 7x5, but w holds 6x5"), "\(weights)")
    #expect(weights.contains("layer 'score' (InnerProduct): weights is 3x7, but w holds 3x6"), "\(weights)")
    #expect(try other.nets.train.values(ofLayer: "score") == before)
  }

  @Test func aNetWithAnotherLayer() throws {
    try snapshot()
    try job.write(SolverJob.net.replacing("\"size\"", with: "\"length\""), to: "other.prototxt")
    let other = try job.solver(net: "other.prototxt")
    let text = message { try other.restore(ResumePoint("\(job.path)/snap_iter_1.solverstate")) }
    #expect(text.contains("it has no layer 'length', which is wanted with weights 1x6, bias 1"), "\(text)")
  }
}

extension Net {
  fileprivate func values(ofLayer name: String) throws -> [Float] {
    let parameter = try #require(parameterTable.unique.first { $0.layerName == name }).parameter
    return Array(UnsafeBufferPointer(start: parameter.values, count: parameter.count))
  }
}
