import CaffeSchema
import Diagnostics
import Foundation

/// `PREFIX_metrics.jsonl`: what the log says at each display and each test, for programs. One JSON object a line:
/// ```
/// {"iteration":100,"phase":"train","epoch":2.5,"lr":0.05,"loss":1.93,"losses":{"loss_digit":{"value":0.9,"weight":1}},
///  "metrics":{},"records_per_second":5211.3,"memory_bytes":130023424}
/// ```
/// (in one line). A line of a test has the phase `test` and `test_net`, the net's number. Outputs with several values
/// are arrays. What is no number is null, and so is what no label was there for; such a loss also has a `count` of 0.
/// `tasks` has an object for each task: `loss`, the sum of loss_weight times loss, `weight`, what the weighting multiplies
/// it by (in training), and the names of its `losses` and `metrics`; `weighting_state` is what the weighting remembers, a
/// number for each task in their order.
///
/// A line of the phase `conflict` tells how the tasks' gradients stand to each other in what they share: their names in
/// `tasks`, `norms`, `cosines` row by row (null where a gradient is zero), and the `milliseconds` that measuring took.
///
/// A line of the phase `event` has one of: `task_outputs`, the names of each task's outputs; `stopping`, the value of the
/// stopping rule of each task that goes on; `stopped`, the task that stops, with its `value`.
package final class MetricsFile: TrainingRecorder {
  private let path: String
  private let isNeeded: Bool
  private let warn: (String) -> Void
  var file: AppendedFile
  /// Whether the file tells the tasks already.
  fileprivate var hasTasks = false

  /// - Parameters:
  ///   - isNeeded: ends the run when the file cannot be written.
  ///   - warn: is told once when it cannot, and the run goes on.
  package init(snapshotPrefix: String, isNeeded: Bool = false, warn: @escaping (String) -> Void) {
    path = "\(snapshotPrefix)_metrics.jsonl"
    self.isNeeded = isNeeded
    let warn = isNeeded ? { _ in } : warn
    self.warn = warn
    file = AppendedFile(path, warn: warn)
  }

  /// Removes the lines of iterations that are done again. The file of an earlier run, when this one starts at the
  /// beginning, is kept under another name.
  package func start(at iteration: Int) throws {
    file = AppendedFile(path, warn: warn)
    hasTasks = false
    guard fileExists(path) else { return }
    if iteration == 0 {
      rename(path, "\(path.dropLast(".jsonl".count)).previous.jsonl")
      return
    }
    struct Line: Decodable {
      struct Task: Decodable {}

      var iteration: Int
      var outputs: [Task]?

      enum CodingKeys: String, CodingKey {
        case iteration
        case outputs = "task_outputs"
      }
    }
    let lines = ((try? readFile(path)) ?? Data()).split(separator: UInt8(ascii: "\n"))
    let kept = lines.filter { line in
      // A line that a killed run left half written is none.
      guard let found = try? JSONDecoder().decode(Line.self, from: line), found.iteration < iteration else {
        return false
      }
      if found.outputs != nil { hasTasks = true }
      return true
    }
    do {
      try writeFile(
        Data(kept.joined(separator: [UInt8(ascii: "\n")])) + Data(kept.isEmpty ? "".utf8 : "\n".utf8), to: path)
    } catch let fault as Diagnostic {
      guard !isNeeded else { throw fault }
      warn(fault.message)
    }
  }

  package var fault: Diagnostic? {
    guard isNeeded, let failure = file.failure else { return nil }
    return Diagnostic(.unwritableFile, failure)
  }

  package func add(_ record: TrainingRecord) {
    var line = JSONObject()
    line.add("iteration", Double(record.iteration))
    switch record.phase {
    case .train: line.add("phase", text: "train")
    case .test(let net):
      line.add("phase", text: "test")
      line.add("test_net", Double(net))
    }
    if let epoch = record.epoch { line.add("epoch", epoch) }
    line.add("lr", record.rate)
    line.add("loss", record.loss)
    var losses = JSONObject()
    var metrics = JSONObject()
    for name in record.names {
      let outputs = record.outputs.filter { $0.name == name }
      if let weight = outputs.first?.lossWeight, weight != 0 {
        var loss = JSONObject()
        loss.add("value", outputs.map(\.valueOrNaN))
        loss.add("weight", weight)
        if outputs.allSatisfy({ !$0.isKnown }) { loss.add("count", Double(0)) }
        losses.add(name, loss)
      } else {
        metrics.add(name, outputs.map(\.valueOrNaN))
      }
    }
    line.add("losses", losses)
    line.add("metrics", metrics)
    line.add("tasks", MetricsFile.tasks(of: record))
    if !record.weightingState.isEmpty {
      var state = JSONObject()
      for (name, values) in record.weightingState.sorted(by: { $0.key < $1.key }) { state.add(name, list: values) }
      line.add("weighting_state", state)
    }
    if let speed = record.recordsPerSecond { line.add("records_per_second", (speed * 10).rounded() / 10) }
    line.add("memory_bytes", Double(record.memoryByteCount))
    file.append(Data((line.text + "\n").utf8))
  }
}

extension MetricsFile {
  package func add(_ event: TrainingEvent, at iteration: Int) {
    var line = JSONObject()
    line.add("iteration", Double(iteration))
    line.add("phase", text: "event")
    switch event {
    case .tasks(let tasks):
      guard !hasTasks else { return }
      hasTasks = true
      line.add(
        "task_outputs",
        tasks.map { task in
          var object = JSONObject()
          object.add("name", text: task.name)
          object.add("losses", list: task.losses)
          object.add("metrics", list: task.metrics)
          object.add("lower_is_better", flag: task.lowerIsBetter)
          return object
        })
    case .stopping(let values):
      guard !values.isEmpty else { return }
      var (tasks, thresholds) = (JSONObject(), JSONObject())
      for (task, value, threshold) in values {
        tasks.add(task, value)
        thresholds.add(task, threshold)
      }
      line.add("stopping", tasks)
      line.add("stop_thresholds", thresholds)
    case .taskStopped(let task, let value):
      line.add("stopped", text: task)
      line.add("value", value)
    }
    file.append(Data((line.text + "\n").utf8))
  }

  private static func tasks(of record: TrainingRecord) -> JSONObject {
    var tasks = JSONObject()
    for task in record.tasks {
      var object = JSONObject()
      if let loss = task.loss { object.add("loss", loss) }
      if let weight = task.weight { object.add("weight", weight) }
      object.add("losses", list: task.losses)
      object.add("metrics", list: task.metrics)
      tasks.add(task.name, object)
    }
    return tasks
  }

  package func add(_ conflict: TaskConflict) {
    var line = JSONObject()
    line.add("iteration", Double(conflict.iteration))
    line.add("phase", text: "conflict")
    line.add("tasks", list: conflict.tasks)
    line.add("norms", list: conflict.norms)
    line.add("cosines", rows: conflict.cosines)
    line.add("milliseconds", (conflict.milliseconds * 1000).rounded() / 1000)
    file.append(Data((line.text + "\n").utf8))
  }
}

extension OutputValue {
  fileprivate var valueOrNaN: Float { isKnown ? value : .nan }
}

extension TrainingRecord {
  /// The names of the outputs, each once.
  var names: [String] {
    var names: [String] = []
    for output in outputs where names.last != output.name { names.append(output.name) }
    return names
  }
}

/// A JSON object whose fields keep their order.
private struct JSONObject {
  private var fields: [String] = []

  var text: String { "{\(fields.joined(separator: ","))}" }

  mutating func add(_ name: String, _ object: JSONObject) { add(name, json: object.text) }
  mutating func add(_ name: String, _ objects: [JSONObject]) {
    add(name, json: "[\(objects.map(\.text).joined(separator: ","))]")
  }
  mutating func add(_ name: String, flag: Bool) { add(name, json: flag ? "true" : "false") }
  mutating func add(_ name: String, text: String) { add(name, json: JSONObject.quoted(text)) }
  mutating func add(_ name: String, _ number: Double) { add(name, json: JSONObject.number(number)) }
  mutating func add(_ name: String, _ number: Float) { add(name, json: JSONObject.number(number)) }

  /// One number as it is, several as an array.
  mutating func add(_ name: String, _ numbers: [Float]) {
    let texts = numbers.map(JSONObject.number)
    add(name, json: texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ","))]")
  }

  mutating func add(_ name: String, list: [String]) {
    add(name, json: "[\(list.map(JSONObject.quoted).joined(separator: ","))]")
  }

  mutating func add(_ name: String, list: [Double]) {
    add(name, json: "[\(list.map(JSONObject.number).joined(separator: ","))]")
  }

  /// nil becomes null.
  mutating func add(_ name: String, rows: [[Double?]]) {
    let texts = rows.map { row in "[\(row.map { $0.map(JSONObject.number) ?? "null" }.joined(separator: ","))]" }
    add(name, json: "[\(texts.joined(separator: ","))]")
  }

  private mutating func add(_ name: String, json: String) { fields.append("\(JSONObject.quoted(name)):\(json)") }

  /// The shortest text that reads back as the same number.
  private static func number(_ value: some BinaryFloatingPoint & CustomStringConvertible) -> String {
    guard value.isFinite else { return "null" }
    let text = value.description
    return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
  }

  private static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\u{0}"..."\u{1f}":
        let digits = String(scalar.value, radix: 16)
        quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }
}
