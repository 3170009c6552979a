import CaffeSchema
import Diagnostics
import Foundation
import Glibc
import Nets
import Testing

@testable import Solvers

/// Snapshots that are damaged are known as such; those that are kept are whole.
@Suite struct SnapshotTests {
  private let job: SolverJob

  init() throws { job = try SolverJob() }

  @Test(arguments: ["caffemodel", "solverstate", "runstate"], ["cut short", "changed", "missing", "empty"])
  func aDamagedOneIsSkipped(_ ending: String, _ damage: String) throws {
    #expect(try job.solver(Self.six).solve())
    let name = "snap_iter_6.\(ending)"
    var bytes = try job.contents(name)
    switch damage {
    case "cut short": try job.write(bytes.dropLast(bytes.count / 3), to: name)
    case "changed":
      // One bit in the middle.
      bytes[bytes.count / 2] ^= 0x10
      try job.write(bytes, to: name)
    case "empty": try job.write(Data(), to: name)
    default: try job.remove(name)
    }
    if ending == "runstate" {
      // The clock of file systems is coarse, and these iterations take less than its steps.
      try FileManager.default.setAttributes(
        [.modificationDate: Date() + 10], ofItemAtPath: "\(job.path)/snap_iter_6.solverstate")
    }
    let found = job.newest()
    if damage == "missing", ending == "runstate" {
      // As one of Caffe's making.
      #expect(found.point?.path == "\(job.path)/snap_iter_6.solverstate" && found.point?.runState == nil)
      return
    }
    #expect(found.point?.runState?.iteration == 4)
    // Without its state it is no snapshot at all, which is how one that is not finished yet looks.
    #expect(found.skipped.count == (damage == "missing" && ending == "solverstate" ? 0 : 1))
    let resumed = try job.solver(Self.six)
    try resumed.restore(#require(found.point))
    #expect(try resumed.solve())
    #expect(job.newest().point?.runState?.iteration == 6)
  }

  private static let six = SolverJob.usual.replacing("max_iter: 20", with: "max_iter: 6 snapshot: 2")

  @Test func keepsTheNewestOfThisRun() throws {
    try job.write("not of this run", to: "snap_iter_1.solverstate")
    let solver = try job.solver(Self.six) { _ in
      var options = Solver.Options()
      options.keptSnapshots = 2
      return options
    }
    #expect(try solver.solve())
    let expected = [4, 6].flatMap { n in ["caffemodel", "runstate", "solverstate"].map { "snap_iter_\(n).\($0)" } }
    #expect(try job.names().filter { $0.hasPrefix("snap") } == (["snap_iter_1.solverstate"] + expected).sorted())
    #expect(try RunState.read("\(job.path)/snap_iter_6.runstate").kept.suffix(2) == [4, 6])
  }

  @Test(arguments: [("accuracy", false), ("loss", true), ("loss_size", true), ("min:accuracy", true)])
  func keepsTheBest(_ metric: String, _ isLowest: Bool) throws {
    let recorder = Recorder()
    let solver = try job.solver(SolverJob.usual.replacing("test_interval: 4", with: "test_interval: 2")) { nets in
      var options = Solver.Options()
      options.best = try BestMetric(metric, tests: nets.tests)
      options.recorders = [recorder]
      return options
    }
    #expect(try solver.solve())
    let tests = recorder.records.filter { $0.phase != .train }
    #expect(tests.count == 11)
    let name = metric.replacing("min:", with: "")
    let values = tests.map { record in
      metric == "loss" ? record.loss : record.outputs.first { $0.name == name }?.value ?? .nan
    }
    let best = try #require(isLowest ? values.min() : values.max())
    let score = try #require(solver.best)
    #expect(abs(score.value - best) <= 1e-5 * abs(best))
    #expect(score.iteration == tests[try #require(values.firstIndex(of: best))].iteration)
    // Its weights give that value again.
    let again = try job.solver()
    try again.nets.train.load(NetSource.readWeights("\(job.path)/snap_best.caffemodel"), from: "best")
    again.nets.tests[0].clock.pass = 2 * (score.iteration / 2)
    var pass = TestPass(again.nets.tests[0])
    try pass.run(iterations: 2)
    let value = try BestMetric(metric, tests: again.nets.tests).value([pass.outputs])
    #expect(abs(value - score.value) <= 1e-5 * max(1, abs(best)))
  }

  @Test func aMetricThatIsNotThereIsToldWhatThereIs() throws {
    let nets = try job.solver().nets
    let fault = #expect(throws: Diagnostic.self) { _ = try BestMetric("accurcy", tests: nets.tests) }
    #expect(fault?.message.contains("did you mean 'accuracy'?") == true)
    #expect(fault?.message.contains("loss_kind, loss_size") == true)
    let none = #expect(throws: Diagnostic.self) { _ = try BestMetric("accuracy", tests: []) }
    #expect(none?.message.contains("has no test net") == true)
  }

  @Test func aFolderThatCannotBeWrittenIsToldBeforeTraining() throws {
    try job.write("", to: "file")
    let solver = try job.solver(Self.six, prefix: "file/snap")
    let fault = #expect(throws: Diagnostic.self) { try solver.solve() }
    #expect(fault?.code == .unwritableFile)
    #expect(solver.iteration == 0)
  }

  @Test func missingFoldersAreMade() throws {
    #expect(try job.solver(Self.six, prefix: "a/b/snap").solve())
    #expect(job.exists("a/b/snap_iter_6.solverstate"))
    #expect(!job.exists("a/b/snap_probe"))
  }

  @Test func whatAKilledRunLeftHalfWrittenIsRemoved() throws {
    let child = Process()
    child.executableURL = URL(fileURLWithPath: "/bin/true")
    try child.run()
    child.waitUntilExit()
    let left = "snap_iter_2.caffemodel.part-\(child.processIdentifier)"
    let ours = "snap_iter_2.caffemodel.part-\(getppid())"
    for name in [left, ours, "other_iter_2.caffemodel.part-\(child.processIdentifier)"] { try job.write("", to: name) }
    #expect(try job.solver(Self.six).solve())
    #expect(!job.exists(left) && job.exists(ours))
    #expect(job.exists("other_iter_2.caffemodel.part-\(child.processIdentifier)"))
  }

  /// Weights that are no numbers never take the place of good ones.
  @Test func noSnapshotIsMadeOfWeightsThatAreNoNumbers() throws {
    let solver = try job.solver(Self.six)
    for _ in 0..<3 { _ = try solver.step() }
    try solver.snapshot()
    _ = try solver.step()
    solver.nets.train.parameterTable.unique[0].parameter.values[2] = .infinity
    let fault = #expect(throws: Diagnostic.self) { try solver.snapshot() }
    #expect(fault?.code == .nonFinite)
    #expect(fault?.description.contains("'hidden'") == true)
    #expect(!job.exists("snap_iter_4.solverstate"))
    #expect(job.newest().point?.runState?.iteration == 3)
  }

  @Test(.enabled(if: SmallDisk.isPossible, "only root may mount the small disk that this needs"))
  func aFullDiskStopsWithTheLastSnapshotWhole() throws {
    let disk = try SmallDisk(byteCount: 64 << 10)
    let solver = try job.solver(Self.six, prefix: "disk/snap")
    try FileManager.default.createSymbolicLink(atPath: "\(job.path)/disk", withDestinationPath: disk.path)
    for _ in 0..<2 { _ = try solver.step() }
    try solver.snapshot()
    _ = try solver.step()
    try disk.fill(leaving: 4096)
    let fault = #expect(throws: Diagnostic.self) { try solver.snapshot() }
    #expect(fault?.code == .outOfSpace)
    #expect(
      fault?.description.contains("the last whole snapshot is '\(job.path)/disk/snap_iter_2.solverstate'") == true)
    #expect(fault?.description.contains("--resume") == true)
    let found = job.newest("disk/snap")
    #expect(found.point?.runState?.iteration == 2 && found.skipped.isEmpty)
    #expect(try FileManager.default.contentsOfDirectory(atPath: disk.path).allSatisfy { !$0.contains(".part-") })
    // Before training, the room for one is asked for.
    let another = try job.solver(Self.six, prefix: "disk/other")
    try disk.fill(leaving: 0)
    #expect(#expect(throws: Diagnostic.self) { try another.solve() }?.code == .outOfSpace)
    disk.clear()
    let resumed = try job.solver(Self.six, prefix: "disk/snap")
    try resumed.restore(#require(found.point))
    #expect(try resumed.solve())
  }
}

extension SnapshotTests {
  /// Layers that are there in a stage alone are so for whoever reads the snapshot.
  @Test func aSnapshotTellsItsStages() throws {
    let more = #"layer { name: "more" type: "Bias" bottom: "hidden" top: "hidden" include { stage: "wide" } }"#
    let relu = #"layer { name: "relu""#
    try job.write(SolverJob.net.replacing(relu, with: "\(more)\n\(relu)"), to: "staged.prototxt")
    let solver = try job.solver(
      SolverJob.usual + #" train_state { stage: "wide" level: 2 } test_state { stage: "wide" stage: "val" }"#,
      net: "staged.prototxt")
    _ = try solver.step()
    try solver.snapshot()
    let weights = try NetSource.readWeights("\(job.path)/snap_iter_1.caffemodel")
    #expect(weights.state.stage == ["wide"] && weights.state.level == 2 && !weights.state.hasPhase)
    let source = try NetSource(parameter: weights, file: "a.caffemodel")
    var state = source.parameter.state
    state.phase = .test
    #expect(try source.layers(in: state).contains { $0.parameter.name == "more" })
    // It is read by who names no stage and by who does.
    let again = try job.solver(SolverJob.usual)
    #expect(try again.nets.train.load(weights, from: "a.caffemodel").unused == ["more"])
    try solver.nets.train.load(weights, from: "a.caffemodel", requiresAll: true)
    // Without stages a snapshot has no state at all, as Caffe's have not.
    _ = try again.step()
    try again.snapshot()
    #expect(try !NetSource.readWeights("\(job.path)/snap_iter_1.caffemodel").hasState)
  }
}

/// Keeps the records of a run.
final class Recorder: TrainingRecorder {
  private(set) var records: [TrainingRecord] = []
  private(set) var starts: [Int] = []

  func start(at iteration: Int) { starts.append(iteration) }
  func add(_ record: TrainingRecord) { records.append(record) }
}

/// A small disk in memory.
final class SmallDisk {
  static let isPossible = (try? SmallDisk(byteCount: 1 << 16)) != nil

  private let folder: TemporaryFolder
  var path: String { folder.path }

  init(byteCount: Int) throws {
    folder = try TemporaryFolder()
    guard mount("tmpfs", folder.path, "tmpfs", 0, "size=\(byteCount)") == 0 else {
      throw Diagnostic(.machine, "cannot mount a disk")
    }
  }

  deinit { umount2(folder.path, Int32(MNT_DETACH)) }

  /// Takes up the free space.
  func fill(leaving left: Int) throws {
    clear()
    var status = statvfs()
    statvfs(path, &status)
    let free = Int(status.f_bavail) * Int(status.f_frsize)
    try Data(count: max(0, free - left)).write(to: URL(fileURLWithPath: "\(path)/ballast"))
  }

  func clear() { unlink("\(path)/ballast") }
}
