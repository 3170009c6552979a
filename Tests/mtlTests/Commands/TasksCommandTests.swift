import Diagnostics
import Foundation
import Testing

@testable import mtl

@Suite struct TasksCommandTests {
  private let folder: String

  init() throws {
    folder = NSTemporaryDirectory() + "mtl-tasks-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try write(Self.run, "run")
  }

  private func write(_ text: String, _ name: String) throws {
    let path = folder + "/" + name + "_metrics.jsonl"
    try FileManager.default.createDirectory(
      atPath: (path as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  private static let tasks = """
    {"iteration":0,"phase":"event","task_outputs":[{"name":"kind","losses":["loss_kind"],"metrics":["right"],"lower_is_better":false},{"name":"size","losses":["loss_size"],"metrics":[],"lower_is_better":true}]}
    """
  private static let run =
    tasks + "\n"
      + """
      {"iteration":0,"phase":"train","losses":{"loss_kind":{"value":2,"weight":0.5},"loss_size":{"value":4,"weight":1}},"metrics":{},"tasks":{"kind":{"loss":1,"weight":1.25},"size":{"weight":0.75}}}
      {"iteration":0,"phase":"test","test_net":0,"losses":{"loss_kind":{"value":2.5,"weight":0.5},"loss_size":{"value":null,"weight":1,"count":0}},"metrics":{"right":0.5}}
      {"iteration":0,"phase":"test","test_net":1,"losses":{"loss_kind":{"value":9,"weight":0.5}},"metrics":{"right":0}}
      {"iteration":10,"phase":"train","losses":{"loss_kind":{"value":1,"weight":0.5}},"metrics":{},"tasks":{"kind":{"weight":1.5}}}
      {"iteration":10,"phase":"conflict","tasks":["size","kind"],"norms":[3,2],"cosines":[[1,-0.5],[-0.5,1]],"milliseconds":2}
      {"iteration":12,"phase":"conflict","tasks":["size","kind"],"norms":[0,1],"cosines":[[null,null],[null,1]],"milliseconds":2}
      {"iteration":20,"phase":"event","stopping":{"kind":1.5,"size":30},"stop_thresholds":{"kind":20,"size":20}}
      {"iteration":20,"phase":"event","stopped":"size","value":30}
      {"iteration":20,"phase":"test","test_net":0,"losses":{"loss_kind":{"value":1.5,"weight":0.5}},"metrics":{"right":0.75}}
      {"iteration":30,"phase":"tr
      """

  @Test func readsWhatHappenedToTasks() throws {
    let history = try TaskHistory(folder + "/run")
    #expect(history.tasks.map(\.name) == ["kind", "size"])
    #expect(history.trainingLosses[0] == [.init(iteration: 0, value: 2), .init(iteration: 10, value: 1)])
    #expect(history.trainingLosses[1] == [.init(iteration: 0, value: 4)])
    #expect(history.testLosses[0].map(\.value) == [2.5, 1.5])
    #expect(history.testLosses[1].isEmpty)
    #expect(history.metrics[0].map(\.value) == [0.5, 0.75])
    #expect(history.weights[0].map(\.value) == [1.25, 1.5])
    #expect(history.stopping[1] == [.init(iteration: 20, value: 30)])
    #expect(history.stops == [nil, 20])
    #expect(history.gradientNorms.map { $0.map(\.value) } == [[2, 1], [3, 0]])
    #expect(history.cosines[0] == [.init(iteration: 10, value: -0.5)])
    #expect(history.cosineMatrix == [[nil, -0.5], [-0.5, nil]])
    #expect(try TaskHistory(folder + "/run", testNet: 1).testLosses[0].map(\.value) == [9])
  }

  @Test func tasksHaveTheirColourAndStops() throws {
    let history = try TaskHistory(folder + "/run_metrics.jsonl")
    let script = TaskPicture(history: history, gains: [0.5, nil]).script(format: "svg", output: "x.svg")
    // The same in each panel: training and validation loss, metric, weight, norm, cosine, stopping value, gain.
    #expect(script.components(separatedBy: "linecolor '#1f78b4'").count - 1 == 8)
    #expect(script.components(separatedBy: "nohead dashtype 3").count - 1 == 7)
    #expect(script.contains("delta_m +50.00 %"))
    #expect(script.contains("set multiplot layout 5,2"))
    #expect(script.components(separatedBy: "\n  20.0 with lines dashtype 2").count - 1 == 1)
    let plot = CurvePlot(runs: [try RunCurves(folder + "/run")]).script(format: "svg", output: "x.svg")
    #expect(plot.contains("linecolor '#1f78b4'") && plot.contains("linecolor '#33a02c'"))
    #expect(plot.contains("set arrow from 20.0, graph 0"))
  }

  /// The best of each run: 0.75 against 0.6 is a quarter more.
  @Test func gainsCompareWithTheRunsOfOneTask() throws {
    let alone = Self.tasks.replacing(
      #",{"name":"size","losses":["loss_size"],"metrics":[],"lower_is_better":true}"#, with: "")
    try write(
      alone + "\n"
        + """
        {"iteration":0,"phase":"test","test_net":0,"losses":{"loss_kind":{"value":2.5,"weight":1}},"metrics":{"right":0.6}}
        {"iteration":9,"phase":"test","test_net":0,"losses":{"loss_kind":{"value":2.5,"weight":1}},"metrics":{"right":0.4}}
        """, "alone")
    let gains = try TaskHistory(folder + "/run").gains(over: [try TaskHistory(folder + "/alone")])
    #expect(abs((gains[0] ?? 0) - 0.25) < 1e-12)
    #expect(gains[1] == nil)
  }

  /// Losses with several values, as a loss_weight on a blob makes them.
  @Test func readsLossesOfSeveralValues() throws {
    try write(
      Self.tasks + "\n"
        + #"{"iteration":0,"phase":"test","test_net":0,"losses":{"loss_kind":{"value":[1,3],"weight":1},"loss_size":{"value":4,"weight":1}},"metrics":{}}"#,
      "several")
    let history = try TaskHistory(folder + "/several")
    #expect(history.testLosses.map { $0.map(\.value) } == [[2], [4]])
  }

  /// A task of which nothing was measured leaves its row and column free, and no cell gets into another place.
  @Test func unmeasuredTasksHaveNoCells() throws {
    let cosines =
      #"{"iteration":5,"phase":"conflict","tasks":["a","b","c"],"norms":[1,0,2],"cosines":[[1,null,0.25],[null,null,null],[0.25,null,1]],"milliseconds":2}"#
    let names = ["a", "b", "c"].map { #"{"name":"\#($0)","losses":["\#($0)"],"metrics":[]}"# }.joined(separator: ",")
    try write(#"{"iteration":0,"phase":"event","task_outputs":[\#(names)]}"# + "\n" + cosines, "holes")
    let history = try TaskHistory(folder + "/holes")
    let script = TaskPicture(history: history, gains: [nil, nil, nil]).script(format: "svg", output: "x.svg")
    #expect(
      try block("$cosines", script) == [
        "0.0 0 -0.5 0.5 -0.5 0.5 1.0", "2.0 0 1.5 2.5 -0.5 0.5 0.25", "0.0 2 -0.5 0.5 1.5 2.5 0.25",
        "2.0 2 1.5 2.5 1.5 2.5 1.0",
      ])
    // A gradient of zero is none.
    #expect(script.contains("set logscale y"))
  }

  /// The lines of a block of data.
  private func block(_ name: String, _ script: String) throws -> [String] {
    let start = try #require(script.components(separatedBy: "\(name) << END\n").dropFirst().first)
    return start.components(separatedBy: "\nEND")[0].components(separatedBy: "\n")
  }

  /// gnuplot draws each kind of panel, of few tasks and of many.
  @Test(arguments: [2, 40]) func aPictureIsDrawn(_ tasks: Int) throws {
    if tasks == 40 { try writeMany() }
    let history = try TaskHistory(folder + (tasks == 40 ? "/many" : "/run"))
    #expect(history.tasks.count == tasks)
    let picture = TaskPicture(history: history, gains: history.tasks.map { _ in 0.5 })
    try PlotScript.write(to: folder + "/tasks.svg", script: picture.script)
    let svg = try String(contentsOfFile: folder + "/tasks.svg", encoding: .utf8)
    for text in ["training loss", "norm of the gradient", "cosine of the gradients of two tasks", "delta_m +50.00 %"] {
      #expect(svg.contains(text), "\(text)")
    }
  }

  /// Of task 7 there is no loss, and task 3 stops.
  private func writeMany() throws {
    let names = (0..<40).map { #"{"name":"t\#($0)","losses":["l\#($0)"],"metrics":[]}"# }.joined(separator: ",")
    let lines = (0..<200).map { iteration in
      let losses = (0..<40).filter { $0 != 7 }.map { #""l\#($0)":{"value":\#(iteration + $0 + 1),"weight":1}"# }
      return
        #"{"iteration":\#(iteration * 10),"phase":"train","losses":{\#(losses.joined(separator: ","))},"metrics":{}}"#
    }
    try write(
      ([#"{"iteration":0,"phase":"event","task_outputs":[\#(names)]}"#] + lines
        + [
          #"{"iteration":500,"phase":"event","stopped":"t3","value":30}"#,
          #"{"iteration":500,"phase":"conflict","tasks":["t1","t2"],"norms":[1,2],"cosines":[[1,-1],[-1,1]],"milliseconds":2}"#,
        ]).joined(separator: "\n"), "many")
  }

  /// Forty curves would be a knot.
  @Test func manyTasksHaveRows() throws {
    try writeMany()
    let script = TaskPicture(history: try TaskHistory(folder + "/many"), gains: []).script(
      format: "svg", output: "x.svg")
    // 50 cells of 4 iterations each, but of the task without a loss.
    let cells = try block("$trainingloss", script)
    #expect(cells.count == 39 * 50)
    #expect(cells[0] == "20.0 0 0.0 40.0 -0.5 0.5 2.5")
    #expect(!cells.contains { $0.split(separator: " ")[1] == "7" })
    #expect(script.contains("'t7' 7") && script.contains("set logscale cb"))
    #expect(script.contains("set arrow from 500.0,2.5 to 500.0,3.5 nohead"))
  }

  @Test func refusesFilesWithoutTasks() throws {
    try write(#"{"iteration":0,"phase":"train","loss":2,"losses":{},"metrics":{}}"#, "old")
    #expect(throws: Diagnostic.self) { try TaskHistory(folder + "/old") }
    #expect(throws: Diagnostic.self) { try TaskHistory(folder + "/none") }
  }
}
