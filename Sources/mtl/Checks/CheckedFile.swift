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
      source = try NetSource.read(path: path)
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
  private func phases(of source: NetSource) -> [Phase] {
    if let phase = options.phase { return [phase] }
    func layers(_ phase: Phase) -> [LayerParameter] {
      ((try? source.layers(in: state(source, phase))) ?? []).map(\.parameter)
    }
    let (train, test) = (layers(.train), layers(.test))
    if train == test { return [train.contains(where: isLoss) ? .train : .test] }
    guard source.parameter.layer.allSatisfy({ ($0.include + $0.exclude).allSatisfy(\.stage.isEmpty) }) else {
      return [.train, .test]
    }
    let isFed = (train.contains { $0.bottom.isEmpty }, test.contains { $0.bottom.isEmpty })
    return isFed.0 == isFed.1 ? [.train, .test] : isFed.0 ? [.train] : [.test]
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

  /// A net whose layers ask for stages may be no whole net without any; then each that it names is tried.
  private mutating func check(_ source: NetSource, _ phase: Phase) throws {
    let name = phase == .train ? "TRAIN" : "TEST"
    let plain = state(source, phase)
    let check = try look(source, plain)
    if !check.faults.isEmpty, options.stages.isEmpty {
      let stages = source.parameter.layer.flatMap { ($0.include + $0.exclude).flatMap { $0.stage + $0.notStage } }
      // Those first whose name is that of the phase.
      let names = phase == .train ? ["train"] : ["val", "test"]
      let isNamed = { (stage: String) in names.contains { stage.lowercased().contains($0) } }
      let ordered = Set(stages).sorted()
      for stage in ordered.filter(isNamed) + ordered.filter({ !isNamed($0) }) {
        var staged = plain
        staged.stage.append(stage)
        guard let other = try? look(source, staged), other.faults.isEmpty else { continue }
        nets.append(("\(name), stage \(stage)", other))
        return
      }
    }
    nets.append((name, check))
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
  }

  private mutating func add(_ name: String, _ source: NetSource, _ state: NetState) throws {
    nets.append((name, try look(source, state)))
  }

  private func look(_ source: NetSource, _ state: NetState) throws -> NetCheck {
    try NetCheck(source, state: state, catalogue: catalogue, given: options.shapes, labels: .recorded)
  }
}

extension LabelLookup {
  /// From the databases that Data layers read.
  fileprivate static let recorded = LabelLookup { layer, top in
    guard let layer = layer as? DataLayer, let found = RecordedLabels(layer, top: top) else { return nil }
    return Labels(ranges: found.ranges, isWhole: found.isWhole)
  }
}
