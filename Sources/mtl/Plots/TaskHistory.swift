import CaffeSchema
import Diagnostics
import Foundation

/// What a run wrote of its tasks over the iterations, from its metrics file.
struct TaskHistory {
  struct Point: Equatable {
    var iteration: Double
    var value: Double
  }

  /// A task's outputs, as the run's metrics file names them.
  struct Task: Decodable, Equatable {
    var name: String
    var losses: [String]
    /// The main one first.
    var metrics: [String]
    var lowerIsBetter: Bool?

    enum CodingKeys: String, CodingKey {
      case name, losses, metrics
      case lowerIsBetter = "lower_is_better"
    }
  }

  /// Of one kind, such as weights: by task, in the order of `tasks`.
  typealias Curves = [[Point]]

  /// The run's name, for titles.
  let name: String
  let tasks: [Task]
  private(set) var trainingLosses: Curves
  private(set) var testLosses: Curves
  /// Of each task's first metric.
  private(set) var metrics: Curves
  private(set) var weights: Curves
  private(set) var gradientNorms: Curves
  /// The mean cosine of a task's gradient with those of the others.
  private(set) var cosines: Curves
  /// The means over the run of the cosines of each two tasks; nil where they were not measured.
  private(set) var cosineMatrix: [[Double?]]
  /// The test nets that the run tells of.
  let testNets: [Int]
  /// The values of the stopping rule.
  private(set) var stopping: Curves
  /// By task: the value above which it stops.
  private(set) var stopThresholds: [Double?]
  /// By task: when it stopped.
  private(set) var stops: [Double?]

  /// - Parameters:
  ///   - path: a `_metrics.jsonl`, or the `snapshot_prefix` of the run.
  ///   - testNet: the test net that is shown.
  /// - Throws: `unreadableFile` for a file that is missing or tells of no tasks.
  init(_ path: String, testNet: Int = 0) throws {
    let beside = path + "_metrics.jsonl"
    let file = FileManager.default.fileExists(atPath: beside) ? beside : path
    guard let data = FileManager.default.contents(atPath: file) else {
      throw Diagnostic(.unreadableFile, "there is no '\(path)', and no '\(beside)' of a run with that prefix")
    }
    let decoder = JSONDecoder()
    let lines = data.split(separator: UInt8(ascii: "\n")).compactMap { try? decoder.decode(Line.self, from: $0) }
    guard let tasks = lines.last(where: { $0.outputs != nil })?.outputs, !tasks.isEmpty else {
      throw Diagnostic(
        .unreadableFile, "'\(file)' tells of no tasks; it must be the _metrics.jsonl of a run of mtl train")
    }
    let parts = path.replacing("_metrics.jsonl", with: "").split(separator: "/")
    // The runs of an experiment are all called so; their folders tell them apart.
    name = parts.suffix(parts.last == "run" ? 3 : 1).joined(separator: "/")
    self.tasks = tasks
    testNets = Set(lines.compactMap(\.testNet)).sorted()
    let empty = Curves(repeating: [], count: tasks.count)
    (trainingLosses, testLosses, metrics, weights) = (empty, empty, empty, empty)
    (gradientNorms, cosines, stopping) = (empty, empty, empty)
    cosineMatrix = tasks.map { _ in tasks.map { _ in nil } }
    (stops, stopThresholds) = (tasks.map { _ in nil }, tasks.map { _ in nil })
    var sums = tasks.map { _ in tasks.map { _ in (sum: 0.0, count: 0) } }
    for line in lines { add(line, testNet: testNet, &sums) }
    cosineMatrix = sums.map { row in row.map { $0.count == 0 ? nil : $0.sum / Double($0.count) } }
  }

  private mutating func add(_ line: Line, testNet: Int, _ sums: inout [[(sum: Double, count: Int)]]) {
    let iteration = Double(line.iteration)
    func add(_ value: Double?, to curves: inout Curves, _ task: Int) {
      guard let value, value.isFinite else { return }
      curves[task].append(Point(iteration: iteration, value: value))
    }
    for (index, task) in tasks.enumerated() {
      switch line.phase {
      case "train":
        add(line.loss(of: task), to: &trainingLosses, index)
        add(line.weight(of: task), to: &weights, index)
      case "test" where line.testNet == testNet:
        add(line.loss(of: task), to: &testLosses, index)
        add(task.metrics.first.flatMap { line.metrics?[$0]?.mean }, to: &metrics, index)
      default: break
      }
      add(line.stopping?[task.name], to: &stopping, index)
      if let threshold = line.stopThresholds?[task.name], threshold > 0 { stopThresholds[index] = threshold }
      if line.stopped == task.name { stops[index] = iteration }
    }
    addConflict(line, &sums)
  }

  private mutating func addConflict(_ line: Line, _ sums: inout [[(sum: Double, count: Int)]]) {
    guard case .names(let names) = line.tasks, let norms = line.norms, let rows = line.cosines else { return }
    let iteration = Double(line.iteration)
    for (row, name) in names.enumerated() {
      guard let task = tasks.firstIndex(where: { $0.name == name }) else { continue }
      if norms.indices.contains(row) { gradientNorms[task].append(Point(iteration: iteration, value: norms[row])) }
      var known: [Double] = []
      guard rows.indices.contains(row), rows[row].count == names.count else { continue }
      for (column, other) in names.enumerated() where column != row {
        guard let cosine = rows[row][column], let place = tasks.firstIndex(where: { $0.name == other }) else {
          continue
        }
        sums[task][place].sum += cosine
        sums[task][place].count += 1
        known.append(cosine)
      }
      guard !known.isEmpty else { continue }
      cosines[task].append(Point(iteration: iteration, value: known.reduce(0, +) / Double(known.count)))
    }
  }
}

/// A line of a metrics file, as far as tasks go.
private struct Line: Decodable {
  struct Loss: Decodable {
    var value: MeanNumber?
    var weight: Double?
  }

  /// In lines of losses what each task had, in those of gradients their names.
  enum Tasks: Decodable {
    struct Values: Decodable { var weight: Double? }

    case values([String: Values])
    case names([String])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let names = try? container.decode([String].self) {
        self = .names(names)
      } else {
        self = .values(try container.decode([String: Values].self))
      }
    }
  }

  var iteration: Int
  var phase: String
  var testNet: Int?
  var losses: [String: Loss]?
  var metrics: [String: MeanNumber]?
  var outputs: [TaskHistory.Task]?
  var tasks: Tasks?
  var stopping: [String: Double]?
  var stopThresholds: [String: Double]?
  var stopped: String?
  var norms: [Double]?
  var cosines: [[Double?]]?

  enum CodingKeys: String, CodingKey {
    case iteration, phase, losses, metrics, tasks, stopping, stopped, norms, cosines
    case outputs = "task_outputs"
    case testNet = "test_net"
    case stopThresholds = "stop_thresholds"
  }

  /// The mean of a task's losses by their weights.
  func loss(of task: TaskHistory.Task) -> Double? {
    let known = task.losses.compactMap { losses?[$0] }.filter { $0.value?.mean != nil }
    let weights = known.reduce(0) { $0 + ($1.weight ?? 1) }
    guard weights != 0 else { return nil }
    return known.reduce(0) { $0 + ($1.weight ?? 1) * ($1.value?.mean ?? 0) } / weights
  }

  /// What the weighting multiplies the task's loss by.
  func weight(of task: TaskHistory.Task) -> Double? {
    guard case .values(let values) = tasks else { return nil }
    return values[task.name]?.weight
  }
}

/// A number, or the mean of several of which some may be missing.
struct MeanNumber: Decodable {
  var mean: Double?

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    let all = (try? container.decode([Double?].self)) ?? [try? container.decode(Double.self)]
    let numbers = all.compactMap { $0 }
    mean = numbers.isEmpty ? nil : numbers.reduce(0, +) / Double(numbers.count)
  }
}
