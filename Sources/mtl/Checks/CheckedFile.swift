import CaffeSchema
import Diagnostics
import Nets
import Records
import Solvers
import Tasks
import Tensors

/// What `mtl check` is asked to look at.
struct CheckOptions {
  /// nil for all phases that the file has a net for.
  var phase: Phase?
  var stages: [String] = []
  var level: Int32?
  /// Shapes of tops whose sources are absent, by name.
  var shapes: [String: Shape] = [:]
}

/// A net or solver file that was looked at, with all the nets in it.
struct CheckedFile {
  enum Kind: String {
    case net, solver
  }

  let path: String
  let kind: Kind
  let nets: [(name: String, check: NetCheck)]
  /// Of the solver.
  let warnings: [Diagnostic]
  /// Of the file itself.
  let faults: [Diagnostic]

  /// Whether every net in it can be built.
  var loads: Bool { faults.isEmpty && nets.allSatisfy { $0.check.faults.isEmpty } }

  init(_ path: String, _ options: CheckOptions, catalogue: LayerCatalogue) {
    self.path = path
    var reader = Reader(options: options, catalogue: catalogue)
    do {
      try reader.read(path)
      faults = []
    } catch let fault as Diagnostic {
      faults = [fault]
    } catch let list as DiagnosticList {
      faults = list.all
    } catch {
      faults = [Diagnostic(.unreadableFile, "cannot read '\(path)': \(error)")]
    }
    kind = reader.kind
    nets = reader.nets
    warnings = reader.warnings
  }
}

private struct Reader {
  let options: CheckOptions
  let catalogue: LayerCatalogue
  var kind = CheckedFile.Kind.net
  var nets: [(name: String, check: NetCheck)] = []
  var warnings: [Diagnostic] = []

  init(options: CheckOptions, catalogue: LayerCatalogue) {
    self.options = options
    self.catalogue = catalogue
  }

  mutating func read(_ path: String) throws {
    let source: NetSource
    do {
      source = try NetSource.read(path: path, leavesOutForeign: true)
    } catch {
      // What is no net may be a solver. If it is neither, it is taken for what it has more in common with.
      guard let solver = try solver(path, notNet: error) else { throw error }
      kind = .solver
      return try check(solver)
    }
    for phase in phases(of: source) { try check(source, phase) }
  }

  private func solver(_ path: String, notNet: any Error) throws -> SolverSource? {
    do {
      return try SolverSource.read(path: path)
    } catch {
      if faultCount(error) < faultCount(notNet) { throw error }
      return nil
    }
  }

  private func faultCount(_ error: any Error) -> Int { (error as? DiagnosticList)?.all.count ?? 1 }

  /// The phases that a file is for: those in which something feeds the net; both only where they differ.
  ///
  /// A phase in which a layer lacks what it reads is none that a file is for, if the other lacks nothing; that is warned of.
  /// But where the phase has a source of its own, as TEST has in the usual train_val file, the file is meant for it too,
  /// and what it lacks is a fault: training would end when it builds the test net.
  private mutating func phases(of source: NetSource) -> [Phase] {
    if let phase = options.phase { return [phase] }
    func layers(_ phase: Phase) -> [LayerParameter] {
      ((try? source.layers(in: state(source, phase))) ?? []).map(\.parameter)
    }
    let (train, test) = (layers(.train), layers(.test))
    let asksForStages = source.parameter.layer.contains { !($0.include + $0.exclude).allSatisfy(\.stage.isEmpty) }
    if asksForStages, options.stages.isEmpty { return [.train, .test] }
    if train == test { return [train.contains(where: isLoss) ? .train : .test] }
    let isFed = (train.contains { $0.bottom.isEmpty }, test.contains { $0.bottom.isEmpty })
    guard isFed.0 == isFed.1 else { return isFed.0 ? [.train] : [.test] }
    let missing = (missingBottom(source, .train), missingBottom(source, .test))
    let (lacking, other) = missing.0 == nil ? (test, train) : (train, test)
    let hasOwnSource = lacking.contains { $0.bottom.isEmpty && !other.contains($0) }
    if hasOwnSource { return [.train, .test] }
    switch missing {
    case (nil, let lack?), (let lack?, nil):
      let (phase, other) = missing.0 == nil ? ("TEST", "TRAIN") : ("TRAIN", "TEST")
      warnings.append(
        Diagnostic(
          .missingBottom,
          "in \(phase) no layer makes bottom '\(lack.name)', so the file is taken for a net of \(other) alone",
          severity: .warning, layer: lack.layer, at: lack.place))
      return missing.0 == nil ? [.train] : [.test]
    default:
      return [.train, .test]
    }
  }

  /// The first bottom of a phase that no layer makes.
  private func missingBottom(
    _ source: NetSource, _ phase: Phase
  ) -> (name: String, layer: Diagnostic.Layer, place: SourceLocation?)? {
    let layers = (try? source.layers(in: state(source, phase))) ?? []
    let made = Set(layers.flatMap(\.parameter.top))
    for (layer, places) in layers {
      guard let index = layer.bottom.firstIndex(where: { !made.contains($0) }) else { continue }
      return (
        layer.bottom[index], Diagnostic.Layer(name: layer.name, type: layer.type), places.location("bottom[\(index)]")
      )
    }
    return nil
  }

  private func isLoss(_ layer: LayerParameter) -> Bool {
    layer.type.hasSuffix("Loss") || layer.lossWeight.contains { $0 != 0 }
  }

  private func state(_ source: NetSource, _ phase: Phase) -> NetState {
    var state = source.parameter.state
    state.phase = phase
    state.stage += options.stages
    if let level = options.level { state.level = level }
    return state
  }

  /// A net whose layers ask for stages may be no whole net without any; then those that it names are tried, alone and
  /// together.
  private mutating func check(_ source: NetSource, _ phase: Phase) throws {
    let name = phase == .train ? "TRAIN" : "TEST"
    let plain = state(source, phase)
    if options.stages.isEmpty, try !isFed(source, plain) {
      for stages in stageSets(source, phase) {
        var staged = plain
        staged.stage += stages
        guard try isFed(source, staged) else { continue }
        return try add("\(name), stage \(stages.joined(separator: " and "))", source, staged)
      }
    }
    try add(name, source, plain)
  }

  /// Whether each bottom is a top of an earlier layer.
  private func isFed(_ source: NetSource, _ state: NetState) throws -> Bool {
    var made: Set<String> = []
    for layer in try source.layers(in: state) {
      guard layer.parameter.bottom.allSatisfy(made.contains) else { return false }
      made.formUnion(layer.parameter.top)
    }
    return !made.isEmpty
  }

  /// Up to three of the stages that rules of layers name: those first that are named like the phase, small sets first.
  private func stageSets(_ source: NetSource, _ phase: Phase) -> [[String]] {
    let named = Set(source.parameter.layer.flatMap { ($0.include + $0.exclude).flatMap { $0.stage + $0.notStage } })
    let words = phase == .train ? ["train"] : ["val", "test"]
    let isLikePhase = { (stage: String) in words.contains { stage.lowercased().contains($0) } }
    let sorted = named.sorted()
    let stages = Array((sorted.filter(isLikePhase) + sorted.filter { !isLikePhase($0) }).prefix(8))
    var sets: [[String]] = [[]]
    for _ in 1...3 {
      let last = sets[sets.count - 1].count
      for set in sets where set.count == last {
        let next = set.last.flatMap { stages.firstIndex(of: $0) }.map { $0 + 1 } ?? 0
        sets += stages[next...].map { set + [$0] }
      }
    }
    return Array(sets.dropFirst())
  }

  private mutating func check(_ solver: SolverSource) throws {
    let settings = try SolverSettings(solver)
    warnings += settings.notes
    let definitions = try SolverNets.definitions(settings)
    if options.phase != .test { try add("TRAIN", definitions.train.source, definitions.train.state) }
    guard options.phase != .train else { return }
    for (index, test) in definitions.tests.enumerated() {
      try add(definitions.tests.count > 1 ? "TEST #\(index)" : "TEST", test.source, test.state)
    }
    guard options.phase == nil, let train = nets.first?.check, nets.allSatisfy({ $0.check.faults.isEmpty }) else {
      return
    }
    try SolverNets.naming(settings, definitions.train.source).check(
      train: train.namesInNet, tests: nets.dropFirst().map(\.check.namesInNet))
    // Whether there are records to read is not asked here.
    try settings.multiTask.check(tasks: train.learnedTasks, readsRecords: true)
  }

  private mutating func add(_ name: String, _ source: NetSource, _ state: NetState) throws {
    let check = try NetCheck(source, state: state, catalogue: catalogue, given: options.shapes, labels: .recorded)
    nets.append((name, check))
  }
}

extension LabelLookup {
  /// From the databases that Data layers read.
  fileprivate static let recorded = LabelLookup { layer, top in
    guard let layer = layer as? DataLayer, let found = RecordedLabels(layer, top: top) else { return nil }
    return Labels(ranges: found.ranges, isWhole: found.isWhole)
  }
}
