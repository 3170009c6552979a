import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Tasks
import Testing

@testable import Solvers

/// Training with `multi_task`: every weighting trains, goes on as if it had not stopped, and is logged.
@Suite struct TaskTrainingTests {
  private let job: SolverJob

  init() throws { job = try SolverJob() }

  /// Each weighting with what it takes.
  static let weightings: [String] = MultiTaskParameter.Weighting.allCases.map { kind in
    switch kind {
    case .schedule: "weighting: SCHEDULE task { name: \"size\" schedule { iteration: 2 weight: 0.5 } }"
    case .dwa: "weighting: DWA average_iter: 2"
    case .stch: "weighting: STCH scale_iter: 1"
    case .nash: "weighting: NASH solve_interval: 2"
    default: "weighting: \(kind.name)"
    }
  }

  static let atRepresentation: [String] = MultiTaskParameter.Weighting.allCases.filter(\.isOfGradients).map {
    "weighting: \($0.name) at: REPRESENTATION"
  }

  private func weights(_ solver: Solver) -> [[Float]] {
    solver.nets.train.parameterTable.unique.map {
      Array(UnsafeBufferPointer(start: $0.parameter.values, count: $0.parameter.count))
    }
  }

  /// Six iterations, and three and three.
  @Test(arguments: weightings + atRepresentation, ["", "iter_size: 2", "type: \"Adam\" momentum2: 0.99"])
  func resumesBitForBit(_ weighting: String, _ more: String) throws {
    let text =
      "\(SolverJob.usual) max_iter: 6 snapshot_after_train: false \(more) multi_task { \(weighting) conflict_interval: 2 }"
      .replacing("max_iter: 20", with: "")
    let whole = try job.solver(text, prefix: "whole")
    for _ in 0..<3 { _ = try whole.step() }
    try whole.snapshot()
    for _ in 0..<3 { _ = try whole.step() }
    let resumed = try job.solver(text, prefix: "whole")
    try resumed.restore(ResumePoint("\(job.path)/whole_iter_3.solverstate"))
    for _ in 0..<3 { _ = try resumed.step() }
    #expect(weights(whole) == weights(resumed))
    #expect(weights(whole).allSatisfy { $0.allSatisfy(\.isFinite) })
    #expect(whole.tasks.saved == resumed.tasks.saved)
    #expect(job.lines.all.allSatisfy { !$0.contains("starts anew") })
  }

  /// Without a word, with the word FIXED, and with names alone, the run is the same.
  @Test func fixedIsWhatItAlwaysWas() throws {
    var found: [[[Float]]] = []
    for text in ["", "multi_task { weighting: FIXED }", "multi_task { task { name: \"a\" loss: \"loss_kind\" } }"] {
      let solver = try job.solver("\(SolverJob.usual) \(text)")
      for _ in 0..<5 { _ = try solver.step() }
      #expect(solver.nets.train.taskGradients == nil && solver.nets.train.measuringSteps == nil)
      found.append(weights(solver))
    }
    #expect(found[0] == found[1] && found[0] == found[2])
  }

  /// A weight multiplies the gradient of a task everywhere.
  @Test func scheduleIsALossWeight() throws {
    let scheduled = try job.solver(
      "\(SolverJob.usual) multi_task { weighting: SCHEDULE task { name: \"size\" schedule { weight: 0.5 } } }")
    try job.write(SolverJob.net.replacing("loss_weight: 0.1", with: "loss_weight: 0.05"), to: "half.prototxt")
    let half = try job.solver(net: "half.prototxt")
    for _ in 0..<5 {
      _ = try scheduled.step()
      _ = try half.step()
    }
    #expect(weights(scheduled) == weights(half))
  }

  /// Two batches of half the size are weighted as one.
  @Test(arguments: ["MGDA", "CAGRAD", "UPGRAD", "NASH", "ALIGNED", "PCGRAD", "GRADNORM"])
  func subBatchesAreWeightedTogether(_ weighting: String) throws {
    var found: [[[Float]]] = []
    for (batch, size) in [(4, 1), (2, 2)] {
      var net = SolverJob.net.replacing("batch_size: 4 shuffle: true", with: "batch_size: \(batch)")
      net = net.split(separator: "\n").filter { !$0.contains("BatchNorm") }.joined(separator: "\n")
        .replacing("dropout_ratio: 0.3", with: "dropout_ratio: 0")
      try job.write(net, to: "plain.prototxt")
      let solver = try job.solver(
        "\(SolverJob.usual) iter_size: \(size) multi_task { weighting: \(weighting) }", net: "plain.prototxt")
      for _ in 0..<3 { _ = try solver.step() }
      found.append(weights(solver))
    }
    for (a, b) in zip(found[0], found[1]) {
      for (x, y) in zip(a, b) { #expect(abs(x - y) <= 1e-4 * max(1, abs(x)), "\(x), \(y)") }
    }
  }

  /// An iteration that is skipped for numbers that are none leaves the weighting as it was.
  @Test(arguments: weightings) func aSkippedIterationChangesNoState(_ weighting: String) throws {
    let solver = try job.solver("\(SolverJob.usual) multi_task { \(weighting) }") { _ in
      var options = Solver.Options()
      options.nonFinitePolicy = .skip
      return options
    }
    for _ in 0..<5 { _ = try solver.step() }
    let before = solver.tasks.saved
    let parameters = weights(solver)
    // A batch that makes no sense.
    try job.writeRecords { _ in [.infinity, 1, 1, 1, 1] }
    let broken = try job.solver("\(SolverJob.usual) multi_task { \(weighting) }", prefix: "broken") { _ in
      var options = Solver.Options()
      options.nonFinitePolicy = .skip
      return options
    }
    try solver.snapshot()
    try broken.restore(ResumePoint("\(job.path)/snap_iter_5.solverstate"))
    _ = try broken.step()
    #expect(broken.iteration == 6)
    #expect(broken.tasks.saved == before)
    #expect(weights(broken) == parameters)
  }

  /// What two tasks' gradients are to each other is the same however it is measured.
  @Test func conflictsAreMeasured() throws {
    final class Keeper: TrainingRecorder {
      var conflicts: [TaskConflict] = []
      var records: [TrainingRecord] = []
      func start(at iteration: Int) {}
      func add(_ record: TrainingRecord) { records.append(record) }
      func add(_ conflict: TaskConflict) { conflicts.append(conflict) }
    }
    var first: [TaskConflict] = []
    for weighting in ["FIXED", "UNCERTAINTY", "MGDA"] {
      let keeper = Keeper()
      let solver = try job.solver("\(SolverJob.usual) multi_task { weighting: \(weighting) conflict_interval: 3 }") {
        _ in
        var options = Solver.Options()
        options.recorders = [keeper]
        return options
      }
      for _ in 0..<7 { _ = try solver.step() }
      #expect(keeper.conflicts.map(\.iteration) == [0, 3, 6])
      let conflict = try #require(keeper.conflicts.first)
      #expect(conflict.tasks == ["kind", "size"])
      #expect(conflict.norms.allSatisfy { $0 > 0 } && conflict.cosines[0][0] == 1)
      #expect(conflict.cosines[0][1] == conflict.cosines[1][0])
      let record = try #require(keeper.records.last { $0.phase == .train })
      #expect(record.tasks.map(\.name) == ["kind", "size"])
      #expect(record.tasks.allSatisfy { $0.weight != nil && $0.loss != nil })
      first.append(conflict)
    }
    for conflict in first {
      for task in 0..<2 { #expect(abs(conflict.norms[task] / first[0].norms[task] - 1) < 1e-4) }
      #expect(abs((conflict.cosines[0][1] ?? 9) - (first[0].cosines[0][1] ?? 0)) < 1e-4)
    }
  }

  /// Keeps what is told of conflicts.
  private final class Conflicts: TrainingRecorder {
    var all: [TaskConflict] = []
    func start(at iteration: Int) {}
    func add(_ record: TrainingRecord) {}
    func add(_ conflict: TaskConflict) { all.append(conflict) }
  }

  private func conflicts(_ text: String, net: String) throws -> [TaskConflict] {
    let keeper = Conflicts()
    let solver = try job.solver("\(SolverJob.usual) base_lr: 0 \(text)".replacing("base_lr: 0.05", with: ""), net: net)
    { _ in
      var options = Solver.Options()
      options.recorders = [keeper]
      return options
    }
    for _ in 0..<2 { _ = try solver.step() }
    return keeper.all
  }

  /// A task with a label in one of two passes alone: what is measured is divided by the weight that it had there, not by that
  /// of the last pass.
  @Test func conflictsAreThoseWithoutTheWeightsOfTheirPasses() throws {
    try job.write(
      Self.half.replacing("num_output: 1", with: #"num_output: 1 weight_filler { type: "constant" value: 0.5 }"#),
      to: "half.prototxt")
    try job.writeRecords { [1, 1, 1, 2, $0 / 4 % 2 == 1 ? .nan : 9] }
    func norms(_ weighting: String) throws -> [Double] {
      try conflicts("iter_size: 2 multi_task { weighting: \(weighting) conflict_interval: 1 }", net: "half.prototxt")[0]
        .norms
    }
    let (plain, found) = (try norms("FIXED"), try norms("GLS"))
    // The larger loss has a weight below 1 in the first pass, and 1 in the second.
    #expect(plain[1] > 0 && abs(found[1] / plain[1] - 1) < 1e-5)
  }

  /// At the representation each pass is measured by itself.
  @Test func conflictsAtTheRepresentationDoNotDependOnTheNumberOfPasses() throws {
    let net = SolverJob.net.replacing("batch_size: 4 shuffle: true", with: "batch_size: 12")
      .replacing("dropout_ratio: 0.3", with: "dropout_ratio: 0").split(separator: "\n")
      .filter { !$0.contains("BatchNorm") }.joined(separator: "\n")
    try job.write(net, to: "plain.prototxt")
    let text = "multi_task { weighting: MGDA at: REPRESENTATION conflict_interval: 1 }"
    let one = try conflicts(text, net: "plain.prototxt")
    let three = try conflicts("iter_size: 3 \(text)", net: "plain.prototxt")
    for (x, y) in zip(one[0].norms, three[0].norms) { #expect(abs(x / y - 1) < 1e-4) }
  }

  /// Two tasks on records of five values: three inputs, and the label of each.
  private static let half = """
    layer { name: "data" type: "Data" top: "data" data_param { source: "records" batch_size: 4 } }
    layer { name: "slice" type: "Slice" bottom: "data" top: "x" top: "a" top: "b" slice_param { axis: 1 slice_point: 3
      slice_point: 4 } }
    layer { name: "hidden" type: "InnerProduct" bottom: "x" top: "hidden" inner_product_param { num_output: 2
      weight_filler { type: "xavier" } } }
    layer { name: "sa" type: "InnerProduct" bottom: "hidden" top: "sa" inner_product_param { num_output: 1 } }
    layer { name: "sb" type: "InnerProduct" bottom: "hidden" top: "sb" inner_product_param { num_output: 1 } }
    layer { name: "loss_a" type: "EuclideanLoss" bottom: "sa" bottom: "a" top: "loss_a" }
    layer { name: "loss_b" type: "EuclideanLoss" bottom: "sb" bottom: "b" top: "loss_b" }
    """

  /// Of two passes in one of which nothing is labelled for a task, its loss is that of the other.
  @Test func aPassWithoutALabelIsNoLossOfZero() throws {
    try job.write(Self.half, to: "half.prototxt")
    // Of b the second batch has no label; all losses are 2 squared over 2.
    try job.writeRecords { [1, 1, 1, 2, $0 / 4 % 2 == 1 ? .nan : 2] }
    let solver = try job.solver(
      "base_lr: 0.1 lr_policy: \"fixed\" max_iter: 9 iter_size: 2 multi_task { weighting: UNCERTAINTY }",
      net: "half.prototxt")
    _ = try solver.step()
    #expect(solver.tasks.weighting.state["first_loss"] == [2, 2])
    let s = try #require(solver.tasks.weighting.state["log_variance"])
    #expect(s[0] == s[1])
  }

  /// To measure is not to change: the run is that without, but for rounding.
  @Test func measuringChangesNothingButRounding() throws {
    var found: [[[Float]]] = []
    for text in ["", "multi_task { conflict_interval: 2 }"] {
      let solver = try job.solver("\(SolverJob.usual) \(text)")
      for _ in 0..<6 { _ = try solver.step() }
      found.append(weights(solver))
    }
    for (a, b) in zip(found[0], found[1]) {
      for (x, y) in zip(a, b) { #expect(abs(x - y) <= 1e-3 * max(1, abs(x))) }
    }
  }

  @Test func weightsAreLogged() throws {
    let solver = try job.solver("\(SolverJob.usual) multi_task { weighting: UNCERTAINTY }")
    _ = try solver.step()
    #expect(job.lines.all.contains("Task weights: kind 1, size 1"))
    // No parser of such logs takes the line for another one.
    let line = try #require(job.lines.all.first { $0.hasPrefix("Task weights") })
    for mark in ["Iteration", "loss =", "lr =", "net output #"] { #expect(!line.contains(mark)) }
  }

  /// A run that goes on with another weighting starts it anew and says so.
  @Test func anotherWeightingStartsAnew() throws {
    let first = try job.solver("\(SolverJob.usual) multi_task { weighting: UNCERTAINTY }")
    for _ in 0..<2 { _ = try first.step() }
    try first.snapshot()
    let second = try job.solver("\(SolverJob.usual) multi_task { weighting: GRADNORM }")
    try second.restore(ResumePoint("\(job.path)/snap_iter_2.solverstate"))
    #expect(job.lines.all.contains { $0.contains("it was weighted by UNCERTAINTY, not GRADNORM") })
    _ = try second.step()
  }

  @Test(arguments: [
    ("weighting: NASH temperature: 1", "weighting: NASH does not read temperature, which belongs to DWA"),
    ("weighting: UNCERTAINTY at: REPRESENTATION", "does not read at: REPRESENTATION, which belongs to GRADNORM, IMTL"),
    ("weighting_lr: 0.1", "weighting: FIXED does not read weighting_lr"),
    ("weighting: SCHEDULE", "weighting: SCHEDULE needs task {"),
    ("weighting: DWA temperature: 0", "temperature must be above 0, and is 0.0"),
    ("weighting: CAGRAD conflict_radius: 1", "conflict_radius must be at least 0 and below 1"),
    ("weighting: NASH solve_interval: 0", "solve_interval must be at least 1"),
    ("task { name: \"size\" schedule { weight: 2 } }", "has a schedule, which weighting: FIXED does not read"),
    (
      "weighting: SCHEDULE task { name: \"size\" schedule { iteration: 5 } schedule { iteration: 5 } }",
      "goes back from iteration 5 to 5"
    ),
    ("weighting: SCHEDULE task { name: \"size\" schedule { weight: -1 } }", "must be at least 0"),
    (
      "weighting: PCGRAD task { name: \"all\" loss: \"loss_kind\" loss: \"loss_size\" }",
      "weighting: PCGRAD weighs tasks against each other, and the training net has one, 'all'"
    ),
    (
      "conflict_interval: 5 task { name: \"all\" loss: \"loss_kind\" loss: \"loss_size\" }",
      "conflict_interval compares the gradients of tasks, and the training net has one task, 'all'"
    ),
    ("normalize_weights: false", "weighting: FIXED does not read normalize_weights, which belongs to UNCERTAINTY"),
  ])
  func faults(_ text: String, _ message: String) {
    let fault = #expect(throws: Diagnostic.self) { _ = try job.solver("\(SolverJob.usual) multi_task { \(text) }") }
    #expect(fault?.message.contains(message) == true, "\(fault?.message ?? "")")
    #expect(fault?.location?.line != nil)
  }

  @Test func tasksThatShareNothing() throws {
    let apart = """
      layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "records" batch_size: 4 } }
      layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" inner_product_param { num_output: 3 } }
      layer { name: "b" type: "InnerProduct" bottom: "data" top: "b" inner_product_param { num_output: 3 } }
      layer { name: "loss_a" type: "SoftmaxWithLoss" bottom: "a" bottom: "label" top: "loss_a" }
      layer { name: "loss_b" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "loss_b" }
      """
    try job.write(apart, to: "apart.prototxt")
    for text in ["weighting: MGDA", "weighting: MGDA at: REPRESENTATION", "conflict_interval: 5"] {
      let fault = #expect(throws: Diagnostic.self) {
        _ = try job.solver("\(SolverJob.usual) multi_task { \(text) }", net: "apart.prototxt")
      }
      #expect(fault?.message.contains("share no layer that learns") == true)
    }
    // Losses alone can be weighted all the same.
    _ = try job.solver("\(SolverJob.usual) multi_task { weighting: UNCERTAINTY }", net: "apart.prototxt").step()
  }
}
