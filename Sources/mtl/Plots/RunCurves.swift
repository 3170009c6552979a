import Diagnostics
import Foundation

/// What a run wrote of its losses and metrics over the iterations.
struct RunCurves {
  struct Curve: Equatable {
    /// The output's name; `loss` for the objective.
    var name: String
    var isTest: Bool
    /// The number of the test net.
    var net = 0
    var points: [Point]
  }

  struct Point: Equatable {
    var iteration: Double
    var value: Double
  }

  /// The parts of its path, without what all runs have at the end.
  let path: [String]
  private(set) var curves: [Curve]
  /// The tasks of the run, where its file tells them, and when those that stopped did.
  let tasks: [TaskHistory.Task]
  let stops: [String: Double]

  /// The task that an output belongs to, by its place.
  func task(of output: String) -> Int? {
    tasks.firstIndex { $0.losses.contains(output) || $0.metrics.contains(output) }
  }

  var name: String { path.last ?? "" }
  var testNets: Int { Set(curves.filter(\.isTest).map(\.net)).count }

  /// Of several runs the curves that are wanted, with a note on each that a run does not have.
  ///
  /// - Throws: what `init` throws; `badArgument` for a name of which no run has a value.
  static func read(_ paths: [String], only names: [String]) throws -> (runs: [RunCurves], notes: [String]) {
    let runs = try paths.map(RunCurves.init)
    let known = runs.flatMap { $0.curves.map(\.name) }.reduce(into: [String]()) {
      if !$0.contains($1) { $0.append($1) }
    }
    for name in names where !known.contains(name) {
      if let index = runs.firstIndex(where: { $0.task(of: name) != nil }) {
        throw Diagnostic(
          .badArgument,
          "'\(paths[index])' has no value of '\(name)' yet: it ended before its first test; train it for longer than its "
            + "test_interval, or draw what it has: \(known.joined(separator: ", "))")
      }
      let meant = nearestName(to: name, among: known).map { "; did you mean '\($0)'?" } ?? ""
      throw Diagnostic(
        .badArgument, "there is no curve '\(name)'\(meant) (curves: \(known.joined(separator: ", ")))")
    }
    let notes = zip(paths, runs).flatMap { path, run in
      names.filter { name in !run.curves.contains { $0.name == name } }.map { "'\(path)' has no value of '\($0)'" }
    }
    return (runs.map { $0.with(only: names) }.filter { !$0.curves.isEmpty }, notes)
  }

  private func with(only names: [String]) -> RunCurves {
    var copy = self
    copy.curves = curves.filter { names.contains($0.name) }
    return copy
  }

  /// - Parameter path: a `_metrics.jsonl`, a log with Caffe's lines, or the `snapshot_prefix` of a run that wrote the former.
  /// - Throws: `unreadableFile` for a file that is missing or has neither.
  init(_ path: String) throws {
    let metrics = path + "_metrics.jsonl"
    // A folder of the prefix's name, such as one of plots, is no log.
    let found = [path, metrics].lazy.compactMap { file in
      FileManager.default.contents(atPath: file).map { (file, $0) }
    }.first
    guard let (file, data) = found else {
      throw Diagnostic(.unreadableFile, "there is no log '\(path)', and no '\(metrics)' of a run with that prefix")
    }
    let text = String(decoding: data, as: UTF8.self)
    var collector = Collector()
    for line in text.split(whereSeparator: \.isNewline) {
      if line.first == "{" { collector.add(json: line) } else { collector.add(log: line) }
    }
    guard !collector.curves.isEmpty else {
      throw Diagnostic(.unreadableFile, "'\(file)' has no lines of iterations: neither a log nor _metrics.jsonl")
    }
    curves = collector.curves
    tasks = collector.tasks
    stops = collector.stops
    self.path = path.replacing("_metrics.jsonl", with: "").split(separator: "/").map(String.init)
  }
}

/// Gathers points from the lines of a run.
private struct Collector {
  private(set) var curves: [RunCurves.Curve] = []
  private(set) var tasks: [TaskHistory.Task] = []
  private(set) var stops: [String: Double] = [:]
  /// Where the log is.
  private var iteration: Double?
  private var isTest = false
  private var net = 0

  private mutating func add(_ name: String, isTest: Bool, net: Int, _ iteration: Double, _ value: Double) {
    guard value.isFinite else { return }
    let point = RunCurves.Point(iteration: iteration, value: value)
    let net = isTest ? net : 0
    if let index = curves.firstIndex(where: { $0.name == name && $0.isTest == isTest && $0.net == net }) {
      // Iterations that a resumed run did again count once, as they were done last.
      curves[index].points.removeAll { $0.iteration >= iteration }
      curves[index].points.append(point)
    } else {
      curves.append(RunCurves.Curve(name: name, isTest: isTest, net: net, points: [point]))
    }
  }

  // MARK: _metrics.jsonl

  private struct Line: Decodable {
    struct Loss: Decodable {
      var value: MeanNumber
    }

    var iteration: Double
    var phase: String
    var testNet: Int?
    var loss: Double?
    var losses: [String: Loss]?
    var metrics: [String: MeanNumber]?
    var outputs: [TaskHistory.Task]?
    var stopped: String?

    enum CodingKeys: String, CodingKey {
      case iteration, phase, loss, losses, metrics, stopped
      case outputs = "task_outputs"
      case testNet = "test_net"
    }
  }

  mutating func add(json: Substring) {
    // The last line of a run that was killed may be cut off.
    guard let line = try? JSONDecoder().decode(Line.self, from: Data(json.utf8)) else { return }
    if let outputs = line.outputs { tasks = outputs }
    if let task = line.stopped { stops[task] = line.iteration }
    let isTest = line.phase == "test"
    let net = line.testNet ?? 0
    if let loss = line.loss { add("loss", isTest: isTest, net: net, line.iteration, loss) }
    for (name, loss) in (line.losses ?? [:]).sorted(by: { $0.key < $1.key }) {
      if let value = loss.value.mean { add(name, isTest: isTest, net: net, line.iteration, value) }
    }
    for (name, metric) in (line.metrics ?? [:]).sorted(by: { $0.key < $1.key }) {
      if let value = metric.mean { add(name, isTest: isTest, net: net, line.iteration, value) }
    }
  }

  // MARK: Caffe's log lines

  mutating func add(log line: Substring) {
    if let start = line.range(of: "Iteration ") {
      let rest = line[start.upperBound...]
      iteration = Double(rest.prefix { $0.isNumber })
      isTest = rest.contains("Testing net")
      net = number(after: "Testing net (#", in: rest).map { Int($0) } ?? 0
      if let loss = number(after: "loss = ", in: rest), let iteration {
        add("loss", isTest: false, net: 0, iteration, loss)
      }
      return
    }
    guard let iteration, let output = line.range(of: "net output #") else { return }
    let isTestLine = line.contains("Test net output #")
    guard let colon = line[output.upperBound...].firstIndex(of: ":") else { return }
    let rest = line[line.index(after: colon)...]
    guard let equals = rest.range(of: " = ") else { return }
    let name = rest[..<equals.lowerBound].trimmedBlanks
    guard let value = number(after: " = ", in: rest) else { return }
    add(name, isTest: isTestLine, net: net, iteration, value)
  }

  private func number(after mark: String, in text: Substring) -> Double? {
    guard let start = text.range(of: mark)?.upperBound else { return nil }
    return Double(text[start...].prefix { $0.isNumber || "+-.eE".contains($0) })
  }
}
