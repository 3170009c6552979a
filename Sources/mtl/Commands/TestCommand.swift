import ArgumentParser
import CaffeSchema
import Compute
import Diagnostics
import Nets
import Records
import Solvers
import Tasks

/// `mtl test`: every task's metrics on the test records.
struct TestCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "test",
    _superCommandName: "mtl",
    abstract: "Computes every task's metrics on the test records.",
    usage: """
      mtl test WEIGHTS [--model NET] [--iterations N]
      mtl test --model NET --weights WEIGHTS [--iterations N]
      """,
    discussion: """
      A snapshot of this program carries its net, so the weights are enough. Without --iterations every record of the \
      test database is seen once. Metrics that have a curve (ROC, recall over K) draw it with --plots.
      """
  )

  @Argument(
    help: ArgumentHelp("The weights, a .caffemodel.", valueName: "weights"),
    completion: .file(extensions: ["caffemodel", "h5"]))
  var snapshot: String?

  @Option(
    help: ArgumentHelp("The same, as Caffe's tool takes it.", valueName: "caffemodel"),
    completion: .file(extensions: ["caffemodel", "h5"]))
  var weights: String?

  @Option(
    help: ArgumentHelp("The net; needed for weights that do not carry one.", valueName: "prototxt"),
    completion: .file(extensions: ["prototxt"]))
  var model: String?

  @Option(help: ArgumentHelp("Batches to run. (default: one pass over the records)", valueName: "count"))
  var iterations: Int?

  @Option(help: ArgumentHelp("Draw the metrics' curves into this folder, and write their points.", valueName: "folder"))
  var plots: String?

  @Option(help: ArgumentHelp("Accepted for old scripts and ignored.", visibility: .hidden))
  var gpu: String?

  @OptionGroup var stateOptions: StateOptions
  @OptionGroup var engineOptions: EngineOptions

  func validate() throws {
    guard (snapshot == nil) != (weights == nil) else {
      throw ValidationError("Give the weights once: mtl test WEIGHTS.")
    }
    if let iterations, iterations < 1 { throw ValidationError("--iterations must be at least 1.") }
  }

  func run() throws {
    engineOptions.prepareProcess()
    let path = snapshot ?? weights ?? ""
    let learned = try NetSource.readWeights(path)
    let source = try model.map(NetSource.read(path:)) ?? TestCommand.definition(in: learned, path, stateOptions.add)
    let evaluation = Evaluation(
      source: source, state: stateOptions.netState(.test, of: source), weights: learned, origin: path,
      engine: try engineOptions.makeEngine())
    let outcome = try evaluation.run(iterations: iterations)
    for warning in outcome.warnings { printError(warning.description) }
    print(outcome.table)
    for table in outcome.tables { print("\n" + table) }
    if let plots { for path in try outcome.writePlots(into: plots) { print(path) } }
  }

  /// The net that a snapshot carries.
  static func definition(
    in weights: NetParameter, _ path: String, _ add: (inout NetState) -> Void = { _ in }
  ) throws -> NetSource {
    var net = weights
    for index in net.layer.indices { net.layer[index].blobs = [] }
    var state = net.state
    state.phase = .test
    var asked = NetState()
    add(&asked)
    add(&state)
    let hasTestData = net.layer.contains { $0.bottom.isEmpty && !$0.top.isEmpty && state.admits($0) }
    // Weights in HDF5 have no definition at all.
    let isDefined = !net.layer.isEmpty && net.layer.allSatisfy(\.hasType)
    if isDefined, !hasTestData, let stages = stagesOfTests(net), asked.stage.isEmpty {
      throw Diagnostic(
        .badArgument,
        "the net that '\(path)' carries reads test records in the stage \(stages) only; say which with --stage")
    }
    guard isDefined, hasTestData else {
      throw Diagnostic(
        .badWeights, "'\(path)' does not carry the net of the TEST phase; give it with --model NET.prototxt")
    }
    return try NetSource(parameter: net, file: path)
  }
}

extension TestCommand {
  /// The stages in which layers without bottoms are there in TEST, as 'val' or 'test'; nil without any.
  private static func stagesOfTests(_ net: NetParameter) -> String? {
    let rules = net.layer.filter { $0.bottom.isEmpty && !$0.top.isEmpty }.flatMap(\.include)
    let stages = rules.filter { !$0.hasPhase || $0.phase == .test }.map { $0.stage.joined(separator: ",") }
    let names = stages.enumerated().filter { !$1.isEmpty && !stages[..<$0].contains($1) }.map { "'\($1)'" }
    return names.isEmpty ? nil : names.joined(separator: " or ")
  }
}

/// A test of a net over a database, or over a number of batches.
struct Evaluation {
  let source: NetSource
  let state: NetState
  let weights: NetParameter
  let origin: String
  let engine: any Engine

  struct Outcome {
    var table: String
    /// Of single metrics.
    var tables: [String]
    var curves: [(layer: String, curve: MetricCurve)]
    var warnings: [Diagnostic]
  }

  func run(iterations: Int?) throws -> Outcome {
    let net = try makeNet(source)
    var warnings = source.warnings + net.graph.warnings + (try checkPairedDatabases(of: net.graph))
    var pass = TestPass(net)
    var progress = ProgressLine("testing", unit: "batches")
    let records = try recordCount(of: net.graph)
    guard iterations != nil || records != nil else {
      throw Diagnostic(.badArgument, "the net reads no records, so there is no 'one pass'; give --iterations")
    }
    let batches = iterations ?? records.map { $0.count / $0.batch } ?? 0
    try pass.run(iterations: batches) { progress.update($0, of: batches) }
    if iterations == nil, let records, records.count % records.batch != 0 {
      do {
        var rest = TestPass(try makeRestNet(of: records))
        try rest.run(iterations: 1)
        pass.add(rest)
      } catch let fault as Diagnostic where [.badShape, .badParameter].contains(fault.code) {
        warnings.append(Evaluation.leftOut(records.count % records.batch, of: records.count, because: fault))
      }
    }
    progress.clear()
    let outputs = pass.outputs
    if let missing = outputs.first(where: { !$0.value.isFinite }) {
      warnings.append(Diagnostic(.nonFinite, "'\(missing.name)' is \(missing.value)", severity: .warning))
    }
    return Outcome(
      table: Evaluation.table(TaskTable(net), net.graph, outputs),
      tables: pass.tables.map { Evaluation.text(of: $1, layer: $0) }, curves: pass.curves, warnings: warnings)
  }

  private func makeNet(_ source: NetSource) throws -> Net {
    var options = NetOptions(phase: .test)
    options.state = state
    let net = try Net(source, engine: engine, catalogue: EngineOptions.catalogue, options: options)
    let report = try net.load(weights, from: origin)
    if let layer = report.missing.first {
      throw Diagnostic(
        .badWeights,
        "'\(origin)' has no weights for layer '\(layer)'; is it of another net, or of one that was trained with a --stage?"
      )
    }
    return net
  }

  /// The records that the net reads in a round, and its batch size.
  private func recordCount(of graph: Graph) throws -> (count: Int, batch: Int)? {
    guard let data = graph.nodes.lazy.compactMap({ $0.definition as? any RecordReading }).first else { return nil }
    return (try data.recordCount(), data.batchSize)
  }

  private static func leftOut(_ rest: Int, of count: Int, because fault: Diagnostic) -> Diagnostic {
    Diagnostic(
      .badShape,
      "with batches of \(rest) the net cannot be made (\(fault.message)), so the last \(rest) of \(count) records are "
        + "left out; choose a batch_size that divides \(count)",
      severity: .warning, layer: fault.layer, at: fault.location)
  }

  /// A net whose batch is of the size of the records that fill no whole batch, so that each record counts once.
  private func makeRestNet(of records: (count: Int, batch: Int)) throws -> Net {
    var small = source
    let rest = records.count % records.batch
    for index in small.parameter.layer.indices {
      recordReadingTypes[small.parameter.layer[index].type]?.setBatchSize(rest, in: &small.parameter.layer[index])
    }
    let net = try makeNet(small)
    net.clock.firstRecord = records.count - rest
    return net
  }

  /// A row for each task and metric.
  static func table(_ tasks: TaskTable, _ graph: Graph, _ outputs: [OutputValue]) -> String {
    var table = TextTable([
      ("task", false), ("metric", false), ("value", true), ("loss", true), ("weight", true), ("records", true),
    ])
    func output(_ value: Int) -> OutputValue? { outputs.first { $0.name == graph.values[value].name } }
    for task in tasks.tasks {
      let losses = task.losses.compactMap(output)
      let metrics = task.metrics.compactMap(output)
      let cells = lossCells(losses)
      if metrics.isEmpty {
        table.add([task.name, "-", "-"] + cells + [losses.first.map { String($0.count) } ?? "-"])
      }
      for metric in metrics {
        table.add([task.name, metric.name, rounded(metric)] + cells + [String(metric.count)])
      }
    }
    return table.text
  }

  /// Loss and weight of a task; of several losses, the sum of each times its weight, with the weight 1.
  private static func lossCells(_ losses: [OutputValue]) -> [String] {
    guard let first = losses.first else { return ["-", "-"] }
    if losses.count == 1 { return [rounded(first), logText(first.lossWeight)] }
    let known = losses.filter(\.isKnown)
    var sum = first
    sum.value = known.reduce(0) { $0 + $1.lossWeight * $1.value }
    sum.count = known.map(\.count).max() ?? 0
    return [rounded(sum), "1"]
  }

  /// Six significant digits are noise in a table; four decimals tell one record in ten thousand. '-' where no label was
  /// there.
  private static func rounded(_ output: OutputValue) -> String {
    output.isKnown ? fixedText(Double(output.value), decimals: 4) : "-"
  }

  /// With the layer's name above.
  private static func text(of metric: MetricTable, layer: String) -> String {
    var table = TextTable(metric.heads.enumerated().map { ($1, $0 > 0) })
    for line in metric.lines {
      table.add([line.name] + line.values.map { $0.map { fixedText($0, decimals: 4) } ?? "-" } + [String(line.count)])
    }
    return "\(layer):\n" + table.text
  }
}
