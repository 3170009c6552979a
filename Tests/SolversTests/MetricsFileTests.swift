import Diagnostics
import Foundation
import Testing

@testable import Solvers

@Suite struct MetricsFileTests {
  private let job: SolverJob

  init() throws { job = try SolverJob() }

  private func run(_ text: String, from point: ResumePoint? = nil) throws {
    let solver = try job.solver(text) { [job] _ in
      var options = Solver.Options()
      options.recorders = [MetricsFile(snapshotPrefix: "\(job.path)/snap", warn: { Issue.record("\($0)") })]
      return options
    }
    if let point { try solver.restore(point) }
    #expect(try solver.solve())
  }

  private func objects() throws -> [[String: Any]] {
    try job.contents("snap_metrics.jsonl").split(separator: UInt8(ascii: "\n")).map {
      try #require(try JSONSerialization.jsonObject(with: $0) as? [String: Any])
    }
  }

  /// Of a run that is worth nothing without it, it must be whole: the run ends before the next snapshot.
  @Test func aNeededFileThatCannotBeWrittenEndsTheRun() throws {
    // From iteration 3 on.
    final class FullDisk: TrainingRecorder {
      private let file: MetricsFile

      init(_ prefix: String) { file = MetricsFile(snapshotPrefix: prefix, isNeeded: true, warn: { _ in }) }

      func start(at iteration: Int) throws { try file.start(at: iteration) }
      func add(_ record: TrainingRecord) {
        if record.iteration == 3 { file.file = AppendedFile("/dev/full", warn: { _ in }) }
        file.add(record)
      }
      var fault: Diagnostic? { file.fault }
    }
    let solver = try job.solver(SolverJob.usual + " snapshot: 1") { [job] _ in
      var options = Solver.Options()
      options.recorders = [FullDisk("\(job.path)/snap")]
      return options
    }
    let fault = #expect(throws: Diagnostic.self) { try solver.solve() }
    #expect(fault?.code == .unwritableFile && fault?.message.contains("/dev/full") == true)
    // What was lost is of iteration 3.
    #expect(job.newest().point?.runState?.iteration == 3)
  }

  @Test func hasALineForEveryDisplayAndTest() throws {
    try run(SolverJob.usual)
    let lines = try objects()
    let train = lines.filter { $0["phase"] as? String == "train" }
    let test = lines.filter { $0["phase"] as? String == "test" }
    #expect(train.compactMap { $0["iteration"] as? Int } == Array(0..<20))
    #expect(test.compactMap { $0["iteration"] as? Int } == [0, 4, 8, 12, 16, 20])
    let line = try #require(train.last)
    // 20 batches of 4 of 12 records.
    #expect(abs((line["epoch"] as? Double ?? 0) - 20 * 4 / 12) < 1e-9)
    #expect(abs((line["lr"] as? Double ?? 0) - 0.05 * pow(1 + 0.1 * 19, -0.75)) < 1e-6)
    let losses = try #require(line["losses"] as? [String: [String: Double]])
    #expect(losses.keys.sorted() == ["loss_kind", "loss_size"])
    #expect(abs((losses["loss_size"]?["weight"] ?? 0) - 0.1) < 1e-7)
    #expect((line["memory_bytes"] as? Double ?? 0) > 1e6)
    #expect((line["records_per_second"] as? Double ?? 0) > 0)
    #expect(train[0]["records_per_second"] == nil)
    #expect(test.last?["epoch"] as? Double == line["epoch"] as? Double)
    #expect((test[1]["metrics"] as? [String: Double])?.keys.sorted() == ["accuracy"])
    #expect(test[1]["test_net"] as? Int == 0)
    let loss = try #require(test[1]["losses"] as? [String: [String: Double]])
    let sum = (loss["loss_kind"]?["value"] ?? 0) + 0.1 * (loss["loss_size"]?["value"] ?? 0)
    #expect(abs((test[1]["loss"] as? Double ?? 0) - sum) < 1e-5)
  }

  /// A run that goes on leaves the lines as if it had not stopped.
  @Test func aResumedRunWritesNoLineTwice() throws {
    func timeless() throws -> [NSDictionary] {
      try objects().map { line in
        var line = line
        line["records_per_second"] = nil
        line["memory_bytes"] = nil
        return line as NSDictionary
      }
    }
    let text = SolverJob.usual + " snapshot: 7"
    try run(text)
    let expected = try timeless()
    // As a killed run leaves it.
    try job.write(job.contents("snap_metrics.jsonl") + Data("{\"iteration\":20,\"ph".utf8), to: "snap_metrics.jsonl")
    try run(text, from: ResumePoint("\(job.path)/snap_iter_7.solverstate"))
    #expect(try timeless() == expected)
  }

  @Test func aNewRunKeepsTheOldOnesFile() throws {
    try run(SolverJob.usual)
    let old = try job.contents("snap_metrics.jsonl")
    try run(SolverJob.usual.replacing("max_iter: 20", with: "max_iter: 3"))
    #expect(try job.contents("snap_metrics.previous.jsonl") == old)
    #expect(try objects().count < 6)
  }

  @Test func whatIsNoNumberIsNullAndNamesAreQuoted() throws {
    let file = MetricsFile(snapshotPrefix: "\(job.path)/snap", warn: { _ in })
    try file.start(at: 0)
    file.add(
      TrainingRecord(
        phase: .train, iteration: 1, epoch: nil, rate: 1e-7, loss: .nan,
        outputs: [
          OutputValue(name: "a\"b\\\n", value: 0.1, lossWeight: 0, count: 1),
          OutputValue(name: "a\"b\\\n", value: .infinity, lossWeight: 0, count: 1),
        ], recordsPerSecond: nil, memoryByteCount: 5))
    let line = try #require(try objects().first)
    #expect(line["loss"] is NSNull)
    let values = try #require((line["metrics"] as? [String: [Any]])?["a\"b\\\n"])
    #expect(values[0] as? Double == 0.1 && values[1] is NSNull)
    #expect(line["lr"] as? Double == 1e-7)
  }

  @Test func aFileThatCannotBeWrittenIsToldOnce() throws {
    var warnings: [String] = []
    let file = MetricsFile(snapshotPrefix: "\(job.path)/no/folder", warn: { warnings.append($0) })
    try file.start(at: 0)
    for iteration in 0..<3 {
      file.add(
        TrainingRecord(
          phase: .train, iteration: iteration, epoch: nil, rate: 1, loss: 1, outputs: [], recordsPerSecond: nil,
          memoryByteCount: 0))
    }
    #expect(warnings.count == 1)
    #expect(warnings.first?.contains("training goes on without it") == true)
  }
}
