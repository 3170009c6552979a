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
      test database is seen once.
      """
  )

  @Argument(help: ArgumentHelp("The weights, a .caffemodel.", valueName: "weights"))
  var snapshot: String?

  @Option(help: ArgumentHelp("The same, as Caffe's tool takes it.", valueName: "caffemodel"))
  var weights: String?

  @Option(help: ArgumentHelp("The net; needed for weights that do not carry one.", valueName: "prototxt"))
  var model: String?

  @Option(help: ArgumentHelp("Batches to run. (default: one pass over the records)", valueName: "count"))
  var iterations: Int?

  @Option(help: ArgumentHelp("Accepted for old scripts and ignored.", visibility: .hidden))
  var gpu: String?

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
    let source = try model.map(NetSource.read(path:)) ?? definition(in: learned, path)
    let evaluation = Evaluation(source: source, weights: learned, origin: path, engine: try engineOptions.makeEngine())
    let outcome = try evaluation.run(iterations: iterations)
    for warning in outcome.warnings { printError(warning.description) }
    print(outcome.table)
  }

  /// The net that a snapshot carries.
  private func definition(in weights: NetParameter, _ path: String) throws -> NetSource {
    var net = weights
    for index in net.layer.indices { net.layer[index].blobs = [] }
    let hasTestData = net.layer.contains { layer in
      layer.bottom.isEmpty && !layer.top.isEmpty && layer.include.contains { $0.hasPhase && $0.phase == .test }
    }
    // Weights in HDF5 have no definition at all.
    let isDefined = !net.layer.isEmpty && net.layer.allSatisfy(\.hasType)
    guard isDefined, hasTestData || net.layer.allSatisfy(\.include.isEmpty) else {
      throw Diagnostic(
        .badWeights, "'\(path)' does not carry the net of the TEST phase; give it with --model NET.prototxt")
    }
    return try NetSource(parameter: net, file: path)
  }
}

/// A test of a net over a database, or over a number of batches.
struct Evaluation {
  let source: NetSource
  let weights: NetParameter
  let origin: String
  let engine: any Engine

  struct Outcome {
    var table: String
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
    var outputs = pass.outputs
    if iterations == nil, let records, records.count % records.batch != 0 {
      let rest = try runRest(of: records)
      outputs = Evaluation.merge(outputs, rest)
    }
    progress.clear()
    if let missing = outputs.first(where: { !$0.value.isFinite }) {
      warnings.append(Diagnostic(.nonFinite, "'\(missing.name)' is \(missing.value)", severity: .warning))
    }
    return Outcome(table: Evaluation.table(TaskTable(net.graph), net.graph, outputs), warnings: warnings)
  }

  private func makeNet(_ source: NetSource) throws -> Net {
    let net = try Net(source, engine: engine, catalogue: EngineOptions.catalogue, options: NetOptions(phase: .test))
    let report = try net.load(weights, from: origin)
    if let layer = report.missing.first {
      throw Diagnostic(.badWeights, "'\(origin)' has no weights for layer '\(layer)'; is it of another net?")
    }
    return net
  }

  /// The records that the net reads in a round, and its batch size.
  private func recordCount(of graph: Graph) throws -> (count: Int, batch: Int)? {
    guard let data = graph.nodes.lazy.compactMap({ $0.definition as? any RecordReading }).first else { return nil }
    return (try data.recordCount(), data.batchSize)
  }

  /// The records that fill no whole batch, in a net whose batch is of that size: each record counts once.
  private func runRest(of records: (count: Int, batch: Int)) throws -> [OutputValue] {
    var small = source
    let rest = records.count % records.batch
    for index in small.parameter.layer.indices {
      recordReadingTypes[small.parameter.layer[index].type]?.setBatchSize(rest, in: &small.parameter.layer[index])
    }
    let net = try makeNet(small)
    net.clock.firstRecord = records.count - rest
    var pass = TestPass(net)
    try pass.run(iterations: 1)
    return pass.outputs
  }

  private static func merge(_ many: [OutputValue], _ few: [OutputValue]) -> [OutputValue] {
    zip(many, few).map { a, b in
      var sum = a
      sum.count = a.count + b.count
      if sum.count > 0 { sum.value = (a.value * Float(a.count) + b.value * Float(b.count)) / Float(sum.count) }
      return sum
    }
  }

  /// A row for each task and metric.
  static func table(_ tasks: TaskTable, _ graph: Graph, _ outputs: [OutputValue]) -> String {
    var table = TextTable([
      ("task", false), ("metric", false), ("value", true), ("loss", true), ("weight", true), ("records", true),
    ])
    func output(_ value: Int) -> OutputValue? { outputs.first { $0.name == graph.values[value].name } }
    for task in tasks.tasks {
      let loss = task.loss.flatMap(output)
      let metrics = task.metrics.compactMap(output)
      let cells = [loss.map { rounded($0.value) } ?? "-", loss.map { logText($0.lossWeight) } ?? "-"]
      if metrics.isEmpty {
        table.add([task.name, "-", "-"] + cells + [loss.map { String($0.count) } ?? "-"])
      }
      for metric in metrics {
        table.add([task.name, metric.name, rounded(metric.value)] + cells + [String(metric.count)])
      }
    }
    return table.text
  }

  /// Six significant digits are noise in a table; four decimals tell one record in ten thousand.
  private static func rounded(_ value: Float) -> String { fixedText(Double(value), decimals: 4) }
}
