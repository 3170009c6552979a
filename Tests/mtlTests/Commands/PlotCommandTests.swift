import Diagnostics
import Foundation
import Testing

@testable import mtl

@Suite struct PlotCommandTests {
  private let folder: String

  init() throws {
    folder = NSTemporaryDirectory() + "mtl-plot-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  }

  private func write(_ text: String, _ name: String) throws -> String {
    try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
    return folder + "/" + name
  }

  private static let log = """
    I0102 10:00:00.000001  1 solver.cpp:239] Iteration 0 (1 iter/s, 1s/50 iters), loss = 2.5
    I0102 10:00:00.000001  1 solver.cpp:258]     Train net output #0: loss_a = 1.5 (* 0.5 = 0.75 loss)
    I0102 10:00:01.000001  1 solver.cpp:347] Iteration 50, Testing net (#0)
    I0102 10:00:01.000001  1 solver.cpp:414]     Test net output #0: accuracy = 0.75
    I0102 10:00:01.000001  1 solver.cpp:414]     Test net output #1: loss_a = 1.25e-1 (* 0.5 = 0.06 loss)
    I0102 10:00:02.000001  1 solver.cpp:239] Iteration 50, loss = nan
    """

  @Test func readsLogs() throws {
    let run = try RunCurves(try write(Self.log, "run.log"))
    #expect(run.name == "run.log")
    #expect(
      run.curves == [
        .init(name: "loss", isTest: false, points: [.init(iteration: 0, value: 2.5)]),
        .init(name: "loss_a", isTest: false, points: [.init(iteration: 0, value: 1.5)]),
        .init(name: "accuracy", isTest: true, points: [.init(iteration: 50, value: 0.75)]),
        .init(name: "loss_a", isTest: true, points: [.init(iteration: 50, value: 0.125)]),
      ])
  }

  @Test func readsMetrics() throws {
    _ = try write(
      """
      {"iteration":0,"phase":"train","lr":0.1,"loss":2,"losses":{"a":{"value":2,"weight":1}},"metrics":{}}
      {"iteration":10,"phase":"train","lr":0.1,"loss":1,"losses":{"a":{"value":null,"weight":1}},"metrics":{}}
      {"iteration":5,"phase":"train","lr":0.1,"loss":1.5,"losses":{"a":{"value":1.5,"weight":1}},"metrics":{}}
      {"iteration":10,"phase":"test","test_net":0,"loss":1,"losses":{},"metrics":{"right":[0.5,1]}}
      {"iteration":20,"phase":"tr
      """, "snap_metrics.jsonl")
    let run = try RunCurves(folder + "/snap")
    #expect(run.name == "snap")
    // Beside a folder of that name too.
    try FileManager.default.createDirectory(atPath: folder + "/snap", withIntermediateDirectories: true)
    #expect(try RunCurves(folder + "/snap").curves == run.curves)
    // A resumed run goes on from an earlier iteration.
    #expect(run.curves[0].points == [.init(iteration: 0, value: 2), .init(iteration: 5, value: 1.5)])
    #expect(run.curves.last == .init(name: "right", isTest: true, points: [.init(iteration: 10, value: 0.75)]))
    #expect(try RunCurves.read([folder + "/snap"], only: ["a"]).runs.map { $0.curves.map(\.name) } == [["a"]])
    let fault = #expect(throws: Diagnostic.self) { try RunCurves.read([folder + "/snap"], only: ["a", "rigt"]) }
    #expect(fault?.message == "there is no curve 'rigt'; did you mean 'right'? (curves: loss, a, right)")
  }

  /// Two test nets with outputs of one name have a curve each.
  @Test func testNetsAreToldApart() throws {
    let lines = (0..<2).flatMap { iteration in
      (0..<2).map { net in
        #"{"iteration":\#(iteration),"phase":"test","test_net":\#(net),"losses":{},"metrics":{"right":0.\#(net + 1)}}"#
      }
    }
    _ = try write(lines.joined(separator: "\n"), "two_metrics.jsonl")
    let log = """
      I0102 10:00:01.000001  1 solver.cpp:347] Iteration 0, Testing net (#0)
      I0102 10:00:01.000001  1 solver.cpp:414]     Test net output #0: right = 0.1
      I0102 10:00:01.000001  1 solver.cpp:347] Iteration 0, Testing net (#1)
      I0102 10:00:01.000001  1 solver.cpp:414]     Test net output #0: right = 0.2
      """
    for run in [try RunCurves(folder + "/two"), try RunCurves(try write(log, "two.log"))] {
      #expect(run.curves.map(\.net) == [0, 1])
      #expect(run.curves.map { $0.points.last?.value } == [0.1, 0.2])
      let script = CurvePlot(runs: [run]).script(format: "svg", output: "o.svg")
      #expect(script.contains("title 'test net 0'") && script.contains("title 'test net 1'"))
    }
  }

  /// The metric is known, but no test was made.
  @Test func aRunWithoutATestSaysSo() throws {
    _ = try write(
      """
      {"iteration":0,"phase":"event","task_outputs":[{"name":"a","losses":["loss_a"],"metrics":["accuracy_a"],"lower_is_better":false}]}
      {"iteration":0,"phase":"train","lr":0.1,"loss":2,"losses":{"loss_a":{"value":2,"weight":1}},"metrics":{}}
      """, "short_metrics.jsonl")
    let fault = #expect(throws: Diagnostic.self) {
      try RunCurves.read([folder + "/short"], only: ["loss_a", "accuracy_a"])
    }
    #expect(fault?.message.contains("has no value of 'accuracy_a' yet: it ended before its first test") == true)
    // Beside a run that has one it is left out.
    _ = try write(
      #"{"iteration":0,"phase":"test","test_net":0,"losses":{},"metrics":{"accuracy_a":0.5}}"#, "long_metrics.jsonl")
    let (runs, notes) = try RunCurves.read(["short", "long"].map { "\(folder)/\($0)" }, only: ["accuracy_a"])
    #expect(runs.map(\.name) == ["long"] && notes == ["'\(folder)/short' has no value of 'accuracy_a'"])
  }

  @Test func refusesOtherFiles() throws {
    let other = try write("nothing of the kind\n", "other.txt")
    #expect(throws: Diagnostic.self) { try RunCurves(other) }
    #expect(throws: Diagnostic.self) { try RunCurves(folder + "/gone") }
  }

  @Test func runsOfOneNameAreToldApartByTheirFolders() throws {
    try FileManager.default.createDirectory(atPath: folder + "/a", withIntermediateDirectories: true)
    try FileManager.default.createDirectory(atPath: folder + "/b", withIntermediateDirectories: true)
    let runs = try ["a/snap", "b/snap"].map { try RunCurves(write(Self.log, $0)) }
    #expect(CurvePlot(runs: runs).titles == ["a/snap", "b/snap"])
    #expect(CurvePlot(runs: [runs[0]]).titles == ["snap"])
  }

  @Test func drawsAPanelForEachName() throws {
    let run = try RunCurves(try write(Self.log, "it's.log"))
    let plot = CurvePlot(runs: [run, try RunCurves(try write(Self.log, "other.log"))])
    #expect(plot.panels == ["loss", "loss_a", "accuracy"])
    let script = plot.script(format: "svg", output: "o.svg")
    #expect(script.contains("layout 2,2"))
    #expect(script.split(separator: "\n").filter { $0.hasPrefix("plot ") }.count == 3)
    #expect(script.contains("title 'it''s.log test'"))
  }
}
