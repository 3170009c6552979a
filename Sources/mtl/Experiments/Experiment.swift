import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Solvers
import Tasks

/// An experiment file, decoded and checked: what is compared, and all of its runs.
struct Experiment {
  /// What a run trains.
  enum Subject: Hashable {
    /// The net of one task, by its index, and the way that it is trained, by that of `alone`.
    case alone(Int, way: Int)
    /// The whole net, by the index of the variant.
    case variant(Int)
  }

  let name: String
  let output: String
  let seeds: [Int64]
  let validationNet: Int
  let reportNet: Int
  let settings: [String]
  let variants: [String]
  /// Ways to train the nets of single tasks; one without a name where the file gives none.
  let alone: [String]
  let tasks: [TaskMetric]
  let runs: [ExperimentRun]
  /// For people: the files that were taken.
  let notes: [String]

  /// - Throws: the faults of the file, of the solver and its nets, before anything is run.
  init(path: String, catalogue: LayerCatalogue) throws {
    let file = try TextFile<ExperimentParameter>.read(path: path)
    let param = file.message
    let solver = try SolverSource.read(path: try Experiment.checked(file, path))
    name = param.name.isEmpty ? withoutEnding(path) : param.name
    output = param.output.isEmpty ? withoutEnding(path) : param.output
    seeds = param.seed
    validationNet = Int(param.validationNet)
    reportNet = Int(param.hasReportNet ? param.reportNet : param.validationNet)
    let settings = param.setting.isEmpty ? [ExperimentVariant()] : param.setting
    self.settings = settings.map(\.name)
    variants = param.variant.map(\.name)
    let ways = param.alone.isEmpty ? [ExperimentVariant()] : param.alone
    alone = ways.map(\.name)
    let base = try settings.map { try solver.changed(by: $0.solver) }
    tasks = try Experiment.tasks(
      param, base[0], nets: [validationNet, reportNet], catalogue: catalogue, file.places)
    guard tasks.count > 1 else {
      throw Diagnostic(
        .badArgument, "the net has \(tasks.count) task; an experiment compares nets of several with nets of one",
        at: file.places.location("solver"))
    }
    var runs: [ExperimentRun] = []
    for (index, source) in base.enumerated() {
      let trained = try Experiment.trained(source, tasks, alone: ways, param.variant, catalogue: catalogue)
      for seed in seeds {
        for one in trained {
          let folder = Experiment.folder(output, settings[index].name, one.name, seed)
          runs.append(
            try ExperimentRun(
              setting: index, subject: one.subject, seed: seed, folder: folder, title: one.title,
              source: one.source.seeded(seed, folder), nets: one.nets))
        }
      }
    }
    self.runs = runs
    let sources = try base.flatMap { base in
      try [base] + (param.variant + ways).map { try base.changed(by: $0.solver) }
    }
    notes = try Experiment.notes(on: sources)
  }

  /// The path of the solver's file of an experiment that says what it has to.
  private static func checked(_ file: TextFile<ExperimentParameter>, _ path: String) throws -> String {
    let param = file.message
    func fault(_ message: String, _ field: String) -> Diagnostic {
      Diagnostic(.badArgument, message, at: file.places.location(field))
    }
    guard !param.solver.isEmpty else { throw fault("solver is missing; give the solver's file", "") }
    guard
      let solver = PathSearch(besideFile: path).candidates(for: param.solver).first(
        where: FileManager.default.fileExists(atPath:))
    else {
      throw fault(
        "there is no file '\(param.solver)', neither from the working directory nor beside this one", "solver")
    }
    guard !param.seed.isEmpty else { throw fault("seed is missing; give one for each repetition", "") }
    if let twice = param.seed.indices.first(where: { param.seed[..<$0].contains(param.seed[$0]) }) {
      throw fault("seed \(param.seed[twice]) is given twice", "seed[\(twice)]")
    }
    guard !param.variant.isEmpty else {
      throw fault("there is no variant; give at least one, such as variant { name: \"fixed\" }", "")
    }
    try checkNames(param.variant.map(\.name), "variant", fault)
    try checkNames(param.setting.map(\.name), "setting", fault)
    try checkNames(param.alone.map(\.name), "alone", fault)
    return solver
  }

  /// What is trained in one setting, with each seed.
  private struct Trained {
    let subject: Subject
    /// Of its folder.
    let name: String
    /// For people.
    let title: String
    let source: SolverSource
    /// Those of a single task.
    var nets: ExperimentRun.Nets?
  }

  private static func trained(
    _ source: SolverSource, _ tasks: [TaskMetric], alone: [ExperimentVariant], _ variants: [ExperimentVariant],
    catalogue: LayerCatalogue
  ) throws -> [Trained] {
    var trained: [Trained] = []
    for (number, task) in tasks.enumerated() {
      let nets = try ExperimentRun.nets(ofTask: task.task, of: source, catalogue: catalogue)
      for (way, change) in alone.enumerated() {
        // The one task has nothing to be weighted against, and stops when the run does.
        var plain = try source.changed(by: change.solver)
        plain.parameter.clearMultiTask()
        let (folder, note) = change.name.isEmpty ? ("", "") : ("/\(change.name)", ", \(change.name)")
        trained.append(
          Trained(
            subject: .alone(number, way: way), name: "alone-\(task.task)\(folder)",
            title: "\(task.task) alone\(note)", source: plain, nets: nets))
      }
    }
    for (number, variant) in variants.enumerated() {
      trained.append(
        Trained(
          subject: .variant(number), name: variant.name, title: variant.name,
          source: try source.changed(by: variant.solver)))
    }
    return trained
  }

  /// Which solver and which nets are taken, and what lies beside them and is not.
  private static func notes(on sources: [SolverSource]) throws -> [String] {
    var notes: [String] = []
    for settings in try sources.map(SolverSettings.init) {
      let nets = try SolverNets.definitions(settings)
      let files = ([nets.train] + nets.tests).compactMap(\.source.file)
      let taken = ["solver: \(settings.source.file ?? "-")"] + files.map { "net: \($0)" }
      for note in taken + SolverNets.filesPassedOver(settings) where !notes.contains(note) { notes.append(note) }
    }
    return notes
  }

  private static func folder(_ output: String, _ setting: String, _ name: String, _ seed: Int64) -> String {
    "\(output)/\(setting.isEmpty ? "" : setting + "/")\(name)/seed-\(seed)"
  }

  /// Names become folders.
  private static func checkNames(
    _ names: [String], _ field: String, _ fault: (String, String) -> Diagnostic
  ) throws {
    for (index, name) in names.enumerated() {
      let place = "\(field)[\(index)]"
      guard !name.isEmpty else { throw fault("the \(field) has no name", place) }
      guard !name.hasPrefix("."), !name.hasPrefix("alone-"),
        name.allSatisfy({ $0.isLetter || $0.isNumber || " _-+.".contains($0) })
      else { throw fault("the name '\(name)' cannot be that of a folder; use letters, digits, _ - +", place + ".name") }
      guard !names[..<index].contains(name) else { throw fault("the name '\(name)' is given twice", place + ".name") }
    }
  }

  /// The tasks of the net, each with its metric.
  private static func tasks(
    _ param: ExperimentParameter, _ source: SolverSource, nets: [Int], catalogue: LayerCatalogue, _ places: FieldPlaces
  ) throws -> [TaskMetric] {
    let settings = try SolverSettings(source)
    let definitions = try SolverNets.definitions(settings)
    for (net, field) in zip(nets, ["validation_net", "report_net"]) where net >= definitions.tests.count {
      throw Diagnostic(
        .badArgument, "\(field) is \(net), but the solver has \(definitions.tests.count) test nets, counted from 0",
        at: places.location(field))
    }
    guard settings.testInterval > 0 else {
      throw Diagnostic(
        .badSolver, "an experiment needs tests; set test_interval and test_iter", at: places.location("solver"))
    }
    let test = definitions.tests[nets[1]]
    let graph = try Graph(
      layers: test.source.layers(in: test.state), phase: .test, paths: PathSearch(besideFile: test.source.file),
      catalogue: catalogue, options: GraphOptions(learns: false))
    let named = test.source.parameter.task
    let tasks = TaskTable(graph, named: named).learned
    for (index, task) in param.task.enumerated() where !tasks.contains(where: { $0.name == task.name }) {
      let known = tasks.map(\.name)
      let meant = nearestName(to: task.name, among: known).map { "; did you mean '\($0)'?" } ?? ""
      throw Diagnostic(
        .badArgument, "the net has no task '\(task.name)'\(meant) (tasks: \(known.joined(separator: ", ")))",
        at: places.location("task[\(index)].name"))
    }
    return try zip(tasks, TaskMetric.all(in: graph, TaskTable(graph, named: named), named: named)).map { task, usual in
      guard let index = param.task.firstIndex(where: { $0.name == task.name }) else { return usual }
      let given = param.task[index]
      do {
        return try TaskMetric(
          task, graph, output: given.hasMetric ? given.metric : usual.output,
          lowerIsBetter: given.hasLowerIsBetter ? given.lowerIsBetter : given.hasMetric ? nil : usual.lowerIsBetter)
      } catch let fault as Diagnostic {
        throw Diagnostic(.badArgument, fault.message, at: places.location("task[\(index)].metric"))
      }
    }
  }
}

/// A path without its folder's sake: the name of a file without its ending, in the working directory.
private func withoutEnding(_ path: String) -> String {
  let name = path.split(separator: "/").last.map(String.init) ?? path
  return name.lastIndex(of: ".").map { String(name[..<$0]) } ?? name
}

extension SolverSource {
  /// With the fields that are given in `change` in the place of its own.
  func changed(by change: SolverParameter) throws -> SolverSource {
    var copy = self
    let bytes: [UInt8] = try change.serializedBytes()
    try copy.parameter.merge(serializedBytes: bytes)
    return copy
  }

  /// As the run of one seed, whose snapshots are in `folder`.
  func seeded(_ seed: Int64, _ folder: String) -> SolverSource {
    var copy = self
    copy.parameter.randomSeed = seed
    copy.parameter.snapshotPrefix = folder + "/run"
    return copy
  }
}
