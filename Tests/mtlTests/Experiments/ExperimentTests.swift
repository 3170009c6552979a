import CaffeSchema
import ComputeReference
import Diagnostics
import Foundation
import Nets
import Solvers
import Tasks
import Testing

@testable import mtl

@Suite struct ExperimentTests {
  private let folder: String

  init() throws {
    folder = NSTemporaryDirectory() + "mtl-experiment-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try write(Self.net, "net.prototxt")
    try write(Self.solver, "solver.prototxt")
    try write(Self.experiment(in: folder + "/out"), "few.prototxt")
  }

  private func write(_ text: String, _ name: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
  }

  /// Fixed values and labels; the seeds differ in the weights that training starts from.
  private static let net = """
    layer { name: "x" type: "DummyData" top: "x" dummy_data_param { shape { dim: 6 dim: 3 }
      data_filler { type: "constant" value: 0.5 } } }
    layer { name: "y" type: "DummyData" top: "ya" top: "yb" dummy_data_param { shape { dim: 6 } shape { dim: 6 dim: 2 }
      data_filler { value: 1 } data_filler { value: 0.25 } } }
    layer { name: "shared" type: "InnerProduct" bottom: "x" top: "shared" inner_product_param { num_output: 4
      weight_filler { type: "xavier" } } }
    layer { name: "relu" type: "ReLU" bottom: "shared" top: "shared" }
    layer { name: "kind" type: "InnerProduct" bottom: "shared" top: "kind" inner_product_param { num_output: 3
      weight_filler { type: "xavier" } } }
    layer { name: "size" type: "InnerProduct" bottom: "shared" top: "size" inner_product_param { num_output: 2
      weight_filler { type: "xavier" } } }
    layer { name: "loss_kind" type: "SoftmaxWithLoss" bottom: "kind" bottom: "ya" top: "loss_kind" loss_weight: 0.5 }
    layer { name: "loss_size" type: "EuclideanLoss" bottom: "size" bottom: "yb" top: "loss_size" loss_weight: 0.25 }
    layer { name: "right" type: "Accuracy" bottom: "kind" bottom: "ya" top: "right" include { phase: TEST } }
    """
  private static let solver = """
    net: "net.prototxt" base_lr: 0.02 lr_policy: "fixed" momentum: 0.9 max_iter: 12 test_interval: 4 test_iter: 1
    test_iter: 1 snapshot: 5
    """

  private static func experiment(in output: String) -> String {
    """
    solver: "solver.prototxt" output: "\(output)" seed: 3 seed: 4 report_net: 1
    variant { name: "as it is" }
    variant { name: "slow" solver { base_lr: 0.002 } }
    task { name: "kind" metric: "loss_kind" }
    """
  }

  private func experiment() throws -> Experiment {
    try Experiment(path: folder + "/few.prototxt", catalogue: EngineOptions.catalogue)
  }

  private func run(_ run: ExperimentRun, stopAfter iterations: Int = .max) throws -> Bool {
    var done = 0
    return try run.run(
      engine: ReferenceEngine(), catalogue: EngineOptions.catalogue, warn: { Issue.record("\($0)") },
      request: {
        done += 1
        return done >= iterations ? .stop : .goOn
      }, progress: { _ in })
  }

  @Test func hasARunForEachTaskVariantAndSeed() throws {
    let experiment = try experiment()
    #expect(experiment.tasks.map(\.task) == ["kind", "size"])
    #expect(experiment.tasks.map(\.output) == ["loss_kind", "loss_size"])
    #expect(experiment.tasks.map(\.lowerIsBetter) == [true, true])
    #expect(
      experiment.runs.map { $0.folder.dropFirst(folder.count + 5) } == [
        "alone-kind/seed-3", "alone-size/seed-3", "as it is/seed-3", "slow/seed-3", "alone-kind/seed-4",
        "alone-size/seed-4", "as it is/seed-4", "slow/seed-4",
      ])
    #expect(experiment.runs[3].settings.parameter.baseLr == 0.002)
    #expect(experiment.runs[3].settings.parameter.momentum == 0.9)
  }

  @Test func theNetOfOneTaskHasNothingOfTheOthers() throws {
    var states = [NetState(), NetState()]
    states[1].phase = .test
    let alone = try NetSource.read(path: folder + "/net.prototxt").alone(
      task: "size", states: states, catalogue: EngineOptions.catalogue)
    #expect(alone.parameter.layer.map(\.name) == ["x", "y", "shared", "relu", "size", "loss_size"])
    #expect(alone.parameter.layer.last?.lossWeight == [1])
    #expect(alone.layerPlaces.count == 6)
  }

  /// A run that was stopped goes on; one that is done is not done again; the table is the same in the end.
  @Test func goesOnWhereItStopped() throws {
    let whole = try experiment()
    for run in whole.runs { #expect(try self.run(run)) }
    var expected = try ExperimentResults(whole)
    try write(Self.experiment(in: folder + "/other"), "few.prototxt")
    let stopped = try experiment()
    #expect(try run(stopped.runs[0]))
    #expect(try !run(stopped.runs[1], stopAfter: 7))
    #expect(stopped.runs[0].finish != nil && stopped.runs[1].finish == nil)
    let again = try experiment()
    for run in again.runs {
      try run.checkFolder()
      if run.finish == nil { #expect(try self.run(run)) }
    }
    var results = try ExperimentResults(again)
    for index in results.rows.indices {
      #expect(results.rows[index].seconds != nil)
      results.rows[index].seconds = nil
      expected.rows[index].seconds = nil
    }
    results.experiment = expected.experiment
    #expect(results == expected)
    #expect(results.rows.map(\.name) == ["each task alone", "as it is", "slow"])
    #expect(results.rows.map(\.seeds.count) == [2, 2, 2])
    #expect(results.rows.filter(\.isBest).count == 1)
    // Slow training is worse on these constants, by the validation part and by the other.
    #expect(results.rows[1].isBest)
    #expect((results.rows[2].deltaM?.mean ?? 0) < (results.rows[1].deltaM?.mean ?? 0))
    let text = results.text
    #expect(text.contains("as it is *") && text.contains("delta_m"))
    #expect(results.markdown.hasPrefix("| training | kind | size | delta_m | on validation | time |\n|---|---:|"))
    #expect(try JSONDecoder().decode(ExperimentResults.self, from: results.json()) == results)
  }

  /// Each task alone is trained in two ways, and what all is compared with is the better one.
  @Test func takesTheBestWayToTrainATaskAlone() throws {
    try write(
      Self.experiment(in: folder + "/out")
        + #" alone { name: "slow" solver { base_lr: 0.0002 } } alone { name: "quick" }"#, "few.prototxt")
    let experiment = try experiment()
    #expect(experiment.runs.count == 12)
    #expect(experiment.runs[0].folder.hasSuffix("/out/alone-kind/slow/seed-3"))
    #expect(experiment.runs[1].settings.parameter.baseLr == 0.02)
    for run in experiment.runs { #expect(try self.run(run)) }
    let results = try ExperimentResults(experiment)
    #expect(
      results.rows.map(\.name) == ["each task alone", "alone, slow", "alone, quick", "as it is", "slow"])
    #expect(results.rows[0].ways == ["quick", "quick"])
    #expect(results.rows[0].metrics == results.rows[2].metrics)
    #expect(results.rows[2].deltaM?.mean == 0 && (results.rows[1].deltaM?.mean ?? 0) < 0)
    #expect(results.text.contains("the best on the validation part: kind quick, size quick"))
    // Losses are no accuracies.
    #expect(results.rows.allSatisfy { $0.errorDeltaM == nil } && !results.text.contains("of errors"))
  }

  /// Of an accuracy 1 % more, of its error rate a quarter less.
  @Test func errorRatesHaveADeltaOfTheirOwn() throws {
    try write(
      Self.experiment(in: folder + "/out").replacing(
        #"task { name: "kind" metric: "loss_kind" }"#, with: ""), "few.prototxt")
    let experiment = try experiment()
    let (kind, size) = (experiment.tasks[0], experiment.tasks[1])
    #expect(kind.isAccuracy && !size.isAccuracy)
    #expect(abs((kind.errorGain(of: 0.97, over: 0.96) ?? 0) - 0.25) < 1e-12)
    #expect(abs(kind.gain(of: 0.97, over: 0.96) - 0.01 / 0.96) < 1e-12)
    #expect(kind.errorGain(of: 1, over: 1) == 0 && kind.errorGain(of: 0.9, over: 1) == nil)
    #expect(size.errorGain(of: 3, over: 4) == 0.25)
    for run in experiment.runs { #expect(try self.run(run)) }
    let results = try ExperimentResults(experiment)
    #expect(results.markdown.contains("| delta_m | of errors | on validation |"))
  }

  @Test func aFolderOfOtherSettingsIsNotTouched() throws {
    #expect(try run(experiment().runs[0]))
    try write(Self.solver + " weight_decay: 0.1", "solver.prototxt")
    #expect {
      try experiment().runs[0].checkFolder()
    } throws: {
      ($0 as? Diagnostic)?.message.contains("holds a run of other settings") == true
    }
  }

  @Test func deltaMIsTheMeanGain() throws {
    let up = try #require(try experiment().tasks.first)
    var down = up
    down.lowerIsBetter = false
    #expect(up.gain(of: 0.5, over: 1) == 0.5)
    #expect(down.gain(of: 0.5, over: 1) == -0.5)
    #expect(down.gain(of: 0.9, over: 0.8) > 0.12)
  }

  /// 1, 2, 3, 4, 5: deviation 1.5811, t of 4 degrees 2.776.
  @Test func estimatesHaveStudentsInterval() {
    let estimate = Estimate([1, 2, 3, 4, 5])
    #expect(estimate?.mean == 3)
    #expect(abs((estimate?.margin ?? 0) - 2.776 * 1.581139 / 5.0.squareRoot()) < 1e-4)
    #expect(Estimate([2]) == Estimate([2]) && Estimate([2])?.margin == nil)
    #expect(Estimate([]) == nil)
  }

  nonisolated(unsafe) static let faults: [(change: (String) -> String, message: String)] = [
    ({ $0.replacing("solver: \"solver.prototxt\"", with: "") }, "solver is missing"),
    ({ $0.replacing("solver.prototxt", with: "none.prototxt") }, "there is no file 'none.prototxt'"),
    ({ $0.replacing("seed: 4", with: "seed: 3") }, "seed 3 is given twice"),
    ({ $0.replacing("\"slow\"", with: "\"as it is\"") }, "the name 'as it is' is given twice"),
    ({ $0.replacing("\"slow\"", with: "\"a/b\"") }, "the name 'a/b' cannot be that of a folder"),
    ({ $0.replacing("report_net: 1", with: "report_net: 2") }, "report_net is 2, but the solver has 2 test nets"),
    ({ $0.replacing("\"kind\"", with: "\"kindd\"") }, "the net has no task 'kindd'; did you mean 'kind'?"),
    ({ $0.replacing("loss_kind", with: "size") }, "task 'kind' has no output 'size'"),
    ({ $0.replacing("seed: 4", with: "seed: -4") }, "seed -4 is below 0"),
    ({ $0 + " task { name: \"kind\" }" }, "task 'kind' is given twice"),
    ({ $0.replacing("base_lr: 0.002", with: "random_seed: 3") }, "an experiment takes its seeds one by one"),
    ({ $0.replacing("base_lr: 0.002", with: "snapshot_prefix: \"a\"") }, "has a folder in its output"),
    ({ $0 + " alone { name: \"x\" solver { multi_task { weighting: DWA } } }" }, "leave multi_task out"),
    ({ $0 + " setting { name: \"x\" solver { random_seed: 1 } }" }, "an experiment takes its seeds one by one"),
    // Of the solver, but told where the variant has them.
    ({ $0.replacing("base_lr: 0.002", with: "type: \"Adamm\"") }, "did you mean \"Adam\"?"),
    (
      { $0.replacing("base_lr: 0.002", with: "multi_task { weighting: NASH temperature: 2 }") },
      "does not read temperature"
    ),
    ({ $0.replacing("base_lr: 0.002", with: "net: \"none.prototxt\"") }, "there is no file 'none.prototxt'"),
  ]

  static let lateFaults: [(change: String, message: String)] = [
    (
      "multi_task { weighting: SCHEDULE task { name: \"sizee\" schedule { weight: 2 } } }", "task 'sizee' lists no loss"
    ),
    ("multi_task { stopping { tests: 0 } }", "tests must be at least 1"),
    ("multi_task { keep_best: true validation_net: 4 }", "keep_best looks at test net 4"),
    ("weights: \"none.caffemodel\"", "there is no file 'none.caffemodel'"),
  ]

  /// What only nets can tell is told before anything is trained, at its place in the experiment's file.
  @Test(arguments: lateFaults.indices)
  func looksAtEveryVariantFirst(_ index: Int) throws {
    let (change, message) = Self.lateFaults[index]
    try write(
      Self.experiment(in: folder + "/out").replacing("base_lr: 0.002", with: change), "few.prototxt")
    let fault = #expect(throws: Diagnostic.self) {
      try experiment().check(engine: ReferenceEngine(), catalogue: EngineOptions.catalogue) { _, _ in }
    }
    #expect(fault?.message.contains(message) == true, "\(fault?.message ?? "")")
    #expect(fault?.location?.file == folder + "/few.prototxt" && fault?.location?.line == 3)
    #expect(!FileManager.default.fileExists(atPath: folder + "/out"))
  }

  /// Each way to train once, and no longer once a run of it is done.
  @Test func looksAtWhatHasNotBeenTrained() throws {
    var looked: [Int] = []
    func check() throws {
      looked = []
      try experiment().check(engine: ReferenceEngine(), catalogue: EngineOptions.catalogue) { looked += [$0, $1] }
    }
    try check()
    #expect(looked == [0, 3, 1, 3, 2, 3])
    #expect(try run(experiment().runs[2]))
    try check()
    #expect(looked == [0, 2, 1, 2])
  }

  /// A solver's file in the working directory comes before the one beside the experiment's.
  @Test func tellsOfTheFileThatIsNotTaken() throws {
    #expect(try experiment().notes.allSatisfy { !$0.contains("is not read") })
    let here = FileManager.default.currentDirectoryPath
    let name = "experiment-\(UUID().uuidString).prototxt"
    defer { try? FileManager.default.removeItem(atPath: "\(here)/\(name)") }
    try write(Self.solver, name)
    try Data(Self.solver.replacing("net.prototxt", with: folder + "/net.prototxt").utf8).write(
      to: URL(fileURLWithPath: "\(here)/\(name)"))
    try write(Self.experiment(in: folder + "/out").replacing("solver.prototxt", with: name), "few.prototxt")
    #expect(
      try experiment().notes.contains(
        "the solver is '\(name)' of the working directory; '\(folder)/\(name)' beside the experiment's file is not read"
      ))
  }

  @Test(arguments: faults.indices)
  func tellsWhatIsWrong(_ index: Int) throws {
    let (change, message) = Self.faults[index]
    try write(change(Self.experiment(in: folder + "/out")), "few.prototxt")
    do {
      _ = try experiment()
      Issue.record("no fault")
    } catch let fault as Diagnostic {
      #expect(fault.message.contains(message), "\(fault)")
      #expect(fault.location?.file == folder + "/few.prototxt")
    }
  }
}
