import CaffeSchema
import Compute
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

  /// What a setting, a variant or a way to train single tasks changes of the solver.
  private struct Change {
    var name = ""
    var solver = SolverParameter()
    /// Of the fields of `solver`.
    var places = FieldPlaces(file: nil)

    /// - Parameter field: of the experiment.
    static func all(
      _ variants: [ExperimentVariant], _ field: String, _ file: TextFile<ExperimentParameter>
    ) -> [Change] {
      variants.enumerated().map {
        Change(name: $1.name, solver: $1.solver, places: file.places.scoped(to: "\(field)[\($0)].solver"))
      }
    }
  }

  /// - Throws: the faults of the file, of the solver and its nets, before anything is run.
  init(path: String, catalogue: LayerCatalogue) throws {
    let file = try TextFile<ExperimentParameter>.read(path: path)
    let param = file.message
    let found = try Experiment.checked(file, path)
    let solver = try SolverSource.read(path: found[0])
    name = param.name.isEmpty ? withoutEnding(path) : param.name
    output = param.output.isEmpty ? withoutEnding(path) : param.output
    seeds = param.seed
    validationNet = Int(param.validationNet)
    reportNet = Int(param.hasReportNet ? param.reportNet : param.validationNet)
    let settings = param.setting.isEmpty ? [Change()] : Change.all(param.setting, "setting", file)
    self.settings = settings.map(\.name)
    let variants = Change.all(param.variant, "variant", file)
    self.variants = variants.map(\.name)
    let ways = param.alone.isEmpty ? [Change()] : Change.all(param.alone, "alone", file)
    alone = ways.map(\.name)
    let base = try settings.map { try solver.changed(by: $0.solver, at: $0.places) }
    tasks = try Experiment.tasks(
      param, base[0], nets: [validationNet, reportNet], catalogue: catalogue, file.places)
    guard tasks.count > 1 else {
      throw Diagnostic(
        .badArgument, "the net has \(tasks.count) task; an experiment compares nets of several with nets of one",
        at: file.places.location("solver"))
    }
    var runs: [ExperimentRun] = []
    for (index, source) in base.enumerated() {
      let trained = try Experiment.trained(source, tasks, alone: ways, variants, catalogue: catalogue)
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
      try [base] + (variants + ways).map { try base.changed(by: $0.solver, at: $0.places) }
    }
    let passedOver = found.dropFirst().filter { !isOneFile(found[0], $0) }.map {
      "the solver is '\(found[0])' of the working directory; '\($0)' beside the experiment's file is not read"
    }
    notes = passedOver + (try Experiment.notes(on: sources))
  }

  /// Sees of each way to train of which no run is done yet whether all that it names is there and fits the nets, so that no
  /// fault shows only hours later. Of the nets of single tasks that of the first is looked at.
  ///
  /// - Parameter progress: told how many have been looked at, of how many.
  func check(engine: any Engine, catalogue: LayerCatalogue, progress: (Int, Int) -> Void) throws {
    struct Kind: Hashable {
      var setting: Int
      var variant: Int?
      var way: Int?

      init(_ run: ExperimentRun) {
        setting = run.setting
        switch run.subject {
        case .alone(_, let way): self.way = way
        case .variant(let variant): self.variant = variant
        }
      }
    }
    var known = Set(runs.filter { $0.finish != nil }.map(Kind.init))
    let open = runs.filter { known.insert(Kind($0)).inserted }
    for (index, run) in open.enumerated() {
      progress(index, open.count)
      try run.check(engine: engine, catalogue: catalogue)
    }
  }

  /// The paths of the solver's file of an experiment that says what it has to: the one that is taken, and another one of that
  /// name.
  private static func checked(_ file: TextFile<ExperimentParameter>, _ path: String) throws -> [String] {
    let param = file.message
    func fault(_ message: String, _ field: String) -> Diagnostic {
      Diagnostic(.badArgument, message, at: file.places.location(field))
    }
    guard !param.solver.isEmpty else { throw fault("solver is missing; give the solver's file", "") }
    let solvers = PathSearch(besideFile: path).candidates(for: param.solver).filter(
      FileManager.default.fileExists(atPath:))
    guard !solvers.isEmpty else {
      throw fault(
        "there is no file '\(param.solver)', neither from the working directory nor beside this one", "solver")
    }
    guard !param.seed.isEmpty else { throw fault("seed is missing; give one for each repetition", "") }
    if let twice = param.seed.indices.first(where: { param.seed[..<$0].contains(param.seed[$0]) }) {
      throw fault("seed \(param.seed[twice]) is given twice", "seed[\(twice)]")
    }
    if let below = param.seed.firstIndex(where: { $0 < 0 }) {
      throw fault("seed \(param.seed[below]) is below 0", "seed[\(below)]")
    }
    let tasks = param.task.map(\.name)
    if let twice = tasks.indices.first(where: { tasks[..<$0].contains(tasks[$0]) }) {
      throw fault("task '\(tasks[twice])' is given twice", "task[\(twice)].name")
    }
    guard !param.variant.isEmpty else {
      throw fault("there is no variant; give at least one, such as variant { name: \"fixed\" }", "")
    }
    try checkNames(param.variant.map(\.name), "variant", fault)
    try checkNames(param.setting.map(\.name), "setting", fault)
    try checkNames(param.alone.map(\.name), "alone", fault)
    for (changes, field) in [(param.setting, "setting"), (param.variant, "variant"), (param.alone, "alone")] {
      try checkChanges(changes.map(\.solver), field, fault)
    }
    return solvers
  }

  /// What an experiment sets by itself, a variant cannot.
  private static func checkChanges(
    _ solvers: [SolverParameter], _ field: String, _ fault: (String, String) -> Diagnostic
  ) throws {
    for (index, solver) in solvers.enumerated() {
      let place = "\(field)[\(index)].solver"
      if solver.hasRandomSeed {
        throw fault("an experiment takes its seeds one by one; list them as seed:", place + ".random_seed")
      }
      if solver.hasSnapshotPrefix {
        throw fault("each run of an experiment has a folder in its output; leave this out", place + ".snapshot_prefix")
      }
      if field == "alone", solver.hasMultiTask {
        throw fault("a single task has nothing to be weighted against; leave multi_task out", place + ".multi_task")
      }
    }
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
    _ source: SolverSource, _ tasks: [TaskMetric], alone: [Change], _ variants: [Change], catalogue: LayerCatalogue
  ) throws -> [Trained] {
    var trained: [Trained] = []
    for (number, task) in tasks.enumerated() {
      let nets = try ExperimentRun.nets(ofTask: task.task, of: source, catalogue: catalogue)
      for (way, change) in alone.enumerated() {
        // The one task has nothing to be weighted against, and stops when the run does.
        var plain = try source.changed(by: change.solver, at: change.places)
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
          source: try source.changed(by: variant.solver, at: variant.places)))
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
  ///
  /// - Parameter places: of those fields.
  func changed(by change: SolverParameter, at places: FieldPlaces) throws -> SolverSource {
    var copy = self
    let bytes: [UInt8] = try change.serializedBytes()
    try copy.parameter.merge(serializedBytes: bytes)
    copy.places = self.places.overlaid(by: places)
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
