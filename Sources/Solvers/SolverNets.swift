import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tasks

/// The nets that a solver names: one to train, any number to test, which use the training net's parameters.
package struct SolverNets {
  package private(set) var train: Net
  package let tests: [Net]
  private let makeTrain: (_ idle: Set<String>, _ sharing: Net?) throws -> Net

  /// One of the nets that a solver names, before it is built.
  package struct Definition {
    package let source: NetSource
    package let state: NetState

    package init(source: NetSource, state: NetState) {
      self.source = source
      self.state = state
    }
  }

  /// Puts a training net with the same parameters in the place of the present one, in which nothing is done for the
  /// losses and metrics named in `idle`.
  mutating func leaveOut(_ idle: Set<String>) throws {
    let net = try makeTrain(idle, train)
    net.clock.pass = train.clock.pass
    net.clock.firstRecord = train.clock.firstRecord
    train = net
  }

  /// - Parameter seed: of fillers, dropout and shuffles.
  /// - Throws: `badSolver` when nets are missing, given twice, or do not fit `test_iter`; a net's own faults.
  package init(_ settings: SolverSettings, engine: any Engine, catalogue: LayerCatalogue, seed: UInt64) throws {
    try self.init(settings, SolverNets.definitions(settings), engine: engine, catalogue: catalogue, seed: seed)
  }

  /// From definitions that need not be those of the solver's own nets.
  package init(
    _ settings: SolverSettings, _ definitions: (train: Definition, tests: [Definition]), engine: any Engine,
    catalogue: LayerCatalogue, seed: UInt64
  ) throws {
    let makeTrain = { (idle: Set<String>, sharing: Net?) in
      var options = NetOptions(phase: .train)
      options.seed = seed
      options.state = definitions.train.state
      options.keepsEverything = settings.parameter.debugInfo
      options.graph.idle = idle
      options.sharing = sharing
      if let order = settings.multiTask.order {
        options.tasks = TaskOptions(
          order: order, measures: order == .together, accumulates: settings.iterationSize > 1
        ) {
          [named = definitions.train.source.parameter.task] graph in
          TaskTable(graph, named: named).learned.map(\.losses)
        }
      }
      return try Net(definitions.train.source, engine: engine, catalogue: catalogue, options: options)
    }
    let train = try makeTrain([], nil)
    self.makeTrain = makeTrain
    self.train = train
    let tests = try definitions.tests.map { test in
      var options = NetOptions(phase: .test)
      options.seed = seed
      options.sharing = train
      options.state = test.state
      options.keepsEverything = settings.parameter.debugInfo
      return try Net(test.source, engine: engine, catalogue: catalogue, options: options)
    }
    self.tests = tests
    try SolverNets.naming(settings, definitions.train.source).check(
      train: NamesInNet(train.graph), tests: tests.map { NamesInNet($0.graph) })
    try settings.multiTask.check(
      tasks: TaskTable(train).learned.map(\.name), readsRecords: train.passesInRound != nil)
    try settings.multiTask.check(train)
  }

  /// The tasks that the solver names, or else the net.
  package static func naming(_ settings: SolverSettings, _ train: NetSource) -> TaskNaming {
    settings.multiTask.parameter.task.isEmpty
      ? TaskNaming(train.parameter.task, places: train.places) : settings.multiTask.naming
  }

  /// The nets that a solver names, with the states that they are built in.
  package static func definitions(_ settings: SolverSettings) throws -> (train: Definition, tests: [Definition]) {
    let solver = settings.parameter
    var train = try trainSource(settings)
    var tests = try testSources(settings)
    if !solver.multiTask.task.isEmpty {
      // Part of the nets from here on, so that snapshots carry the names.
      train.parameter.task = solver.multiTask.task
      for index in tests.indices { tests[index].parameter.task = solver.multiTask.task }
    }
    return (
      Definition(source: train, state: state(.train, train, solver.hasTrainState ? solver.trainState : nil)),
      tests.enumerated().map { index, test in
        Definition(source: test, state: state(.test, test, solver.testState.isEmpty ? nil : solver.testState[index]))
      }
    )
  }

  /// Phase, then what the net says of its state, then what the solver says.
  private static func state(_ phase: Phase, _ source: NetSource, _ solver: NetState?) -> NetState {
    var state = NetState()
    state.phase = phase
    for extra in [source.parameter.hasState ? source.parameter.state : nil, solver] {
      guard let extra else { continue }
      if extra.hasLevel { state.level = extra.level }
      state.stage += extra.stage
    }
    return state
  }

  private static func trainSource(_ settings: SolverSettings) throws -> NetSource {
    let solver = settings.parameter
    let given = [
      ("net", solver.hasNet), ("net_param", solver.hasNetParam), ("train_net", solver.hasTrainNet),
      ("train_net_param", solver.hasTrainNetParam),
    ].filter(\.1).map(\.0)
    guard given.count == 1 else {
      throw Diagnostic(
        .badSolver,
        given.isEmpty
          ? "no net is given; add net: \"FILE.prototxt\""
          : "only one training net may be given, not \(given.joined(separator: " and "))",
        at: settings.source.places.location(given.last ?? ""))
    }
    if solver.hasTrainNetParam { return try inline(solver.trainNetParam, "train_net_param", settings) }
    return try solver.hasTrainNet ? file(solver.trainNet, "train_net", settings) : shared(settings)
  }

  private static func testSources(_ settings: SolverSettings) throws -> [NetSource] {
    let solver = settings.parameter
    var sources: [NetSource] = []
    for (index, param) in solver.testNetParam.enumerated() {
      sources.append(try inline(param, "test_net_param[\(index)]", settings))
    }
    for (index, path) in solver.testNet.enumerated() {
      sources.append(try file(path, "test_net[\(index)]", settings))
    }
    let wanted = solver.testIter.count
    let hasShared = solver.hasNet || solver.hasNetParam
    guard sources.count == wanted || (hasShared && sources.count < wanted) else {
      throw Diagnostic(
        .badSolver,
        "\(sources.count) test nets are given, but test_iter \(wanted) times; give it once for each test net",
        at: settings.source.places.location(wanted > 0 ? "test_iter[0]" : ""))
    }
    while sources.count < wanted { sources.append(try shared(settings)) }
    guard solver.testState.isEmpty || solver.testState.count == sources.count else {
      throw Diagnostic(
        .badSolver, "test_state is given \(solver.testState.count) times for \(sources.count) test nets",
        at: settings.source.places.location("test_state[0]"))
    }
    return sources
  }

  private static func shared(_ settings: SolverSettings) throws -> NetSource {
    let solver = settings.parameter
    return try solver.hasNetParam ? inline(solver.netParam, "net_param", settings) : file(solver.net, "net", settings)
  }

  /// Of files that are in the working directory and beside the solver's too: which was taken, and which was not. Caffe knows
  /// the working directory alone.
  package static func filesPassedOver(_ settings: SolverSettings) -> [String] {
    let solver = settings.parameter
    let names = [solver.hasNet ? solver.net : nil, solver.hasTrainNet ? solver.trainNet : nil].compactMap(\.self)
    return (names + solver.testNet).compactMap { name in
      let found = PathSearch(besideFile: settings.source.file).candidates(for: name).filter(fileExists)
      guard found.count > 1, !isOneFile(found[0], found[1]) else { return nil }
      return "the net is '\(found[0])' of the working directory; '\(found[1])' beside the solver's file is not read"
    }
  }

  private static func inline(_ net: NetParameter, _ field: String, _ settings: SolverSettings) throws -> NetSource {
    try NetSource(parameter: net, places: settings.source.places.scoped(to: field), file: settings.source.file)
  }

  private static func file(_ path: String, _ field: String, _ settings: SolverSettings) throws -> NetSource {
    let search = PathSearch(besideFile: settings.source.file)
    let found = search.candidates(for: path).first(where: fileExists)
    guard let found else {
      throw Diagnostic(
        .unreadableFile, "there is no file '\(path)', neither from the working directory nor beside the solver file",
        at: settings.source.places.location(field))
    }
    return try NetSource.read(path: found)
  }
}
