import Diagnostics
import Foundation

/// What a run wrote of its losses and metrics over the iterations.
struct RunCurves {
  struct Curve: Equatable {
    /// The output's name; `loss` for the objective.
    var name: String
    var isTest: Bool
    var points: [Point]
  }

  struct Point: Equatable {
    var iteration: Double
    var value: Double
  }

  /// The parts of its path, without what all runs have at the end.
  let path: [String]
  let curves: [Curve]
  /// The tasks of the run, where its file tells them, and when those that stopped did.
  let tasks: [TaskHistory.Task]
  let stops: [String: Double]

  /// The task that an output belongs to, by its place.
  func task(of output: String) -> Int? {
    tasks.firstIndex { $0.losses.contains(output) || $0.metrics.contains(output) }
  }

  var name: String { path.last ?? "" }

  /// - Parameters:
  ///   - path: a `_metrics.jsonl`, a log with Caffe's lines, or the `snapshot_prefix` of a run that wrote the former.
  ///   - names: the curves that are wanted; nil for all.
  /// - Throws: `unreadableFile` for a file that is missing or has neither; `badArgument` when it has none of `names`.
  init(_ path: String, only names: Set<String>? = nil) throws {
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
    curves = collector.curves.filter { names?.contains($0.name) ?? true }
    if curves.isEmpty,
      let name = names?.first(where: { name in collector.tasks.contains { $0.metrics.contains(name) } })
    {
      throw Diagnostic(
        .badArgument, "'\(file)' has no value of '\(name)' yet: the run made no test; see test_interval of its solver")
    }
    if curves.isEmpty {
      let known = collector.curves.map(\.name).reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
      throw Diagnostic(.badArgument, "'\(file)' has no such curve; it has \(known.joined(separator: ", "))")
    }
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

  private mutating func add(_ name: String, isTest: Bool, _ iteration: Double, _ value: Double) {
    guard value.isFinite else { return }
    let point = RunCurves.Point(iteration: iteration, value: value)
    if let index = curves.firstIndex(where: { $0.name == name && $0.isTest == isTest }) {
      // Iterations that a resumed run did again count once, as they were done last.
      curves[index].points.removeAll { $0.iteration >= iteration }
      curves[index].points.append(point)
    } else {
      curves.append(RunCurves.Curve(name: name, isTest: isTest, points: [point]))
    }
  }

  // MARK: _metrics.jsonl

  private struct Line: Decodable {
    struct Loss: Decodable {
      var value: MeanNumber
    }

    var iteration: Double
    var phase: String
    var loss: Double?
    var losses: [String: Loss]?
    var metrics: [String: MeanNumber]?
    var outputs: [TaskHistory.Task]?
    var stopped: String?

    enum CodingKeys: String, CodingKey {
      case iteration, phase, loss, losses, metrics, stopped
      case outputs = "task_outputs"
    }
  }

  mutating func add(json: Substring) {
    // The last line of a run that was killed may be cut off.
    guard let line = try? JSONDecoder().decode(Line.self, from: Data(json.utf8)) else { return }
    if let outputs = line.outputs { tasks = outputs }
    if let task = line.stopped { stops[task] = line.iteration }
    let isTest = line.phase == "test"
    if let loss = line.loss { add("loss", isTest: isTest, line.iteration, loss) }
    for (name, loss) in (line.losses ?? [:]).sorted(by: { $0.key < $1.key }) {
      if let value = loss.value.mean { add(name, isTest: isTest, line.iteration, value) }
    }
    for (name, metric) in (line.metrics ?? [:]).sorted(by: { $0.key < $1.key }) {
      if let value = metric.mean { add(name, isTest: isTest, line.iteration, value) }
    }
  }

  // MARK: Caffe's log lines

  mutating func add(log line: Substring) {
    if let start = line.range(of: "Iteration ") {
      let rest = line[start.upperBound...]
      iteration = Double(rest.prefix { $0.isNumber })
      isTest = rest.contains("Testing net")
      if let loss = number(after: "loss = ", in: rest), let iteration { add("loss", isTest: false, iteration, loss) }
      return
    }
    guard let iteration, let output = line.range(of: "net output #") else { return }
    let isTestLine = line.contains("Test net output #")
    guard let colon = line[output.upperBound...].firstIndex(of: ":") else { return }
    let rest = line[line.index(after: colon)...]
    guard let equals = rest.range(of: " = ") else { return }
    let name = rest[..<equals.lowerBound].trimmedBlanks
    guard let value = number(after: " = ", in: rest) else { return }
    add(name, isTest: isTestLine, iteration, value)
  }

  private func number(after mark: String, in text: Substring) -> Double? {
    guard let start = text.range(of: mark)?.upperBound else { return nil }
    return Double(text[start...].prefix { $0.isNumber || "+-.eE".contains($0) })
  }
}
