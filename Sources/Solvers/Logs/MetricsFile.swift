import CaffeSchema
import Diagnostics
import Foundation

/// `PREFIX_metrics.jsonl`: what the log says at each display and each test, for programs. One JSON object a line:
/// ```
/// {"iteration":100,"phase":"train","epoch":2.5,"lr":0.05,"loss":1.93,"losses":{"loss_digit":{"value":0.9,"weight":1}},
///  "metrics":{},"records_per_second":5211.3,"memory_bytes":130023424}
/// ```
/// (in one line). A line of a test has the phase `test` and `test_net`, the net's number. Outputs with several values
/// are arrays. What is no number is null.
package final class MetricsFile: TrainingRecorder {
  private let path: String
  private let warn: (String) -> Void
  private var file: AppendedFile

  /// - Parameter warn: is told once when the file cannot be written.
  package init(snapshotPrefix: String, warn: @escaping (String) -> Void) {
    path = "\(snapshotPrefix)_metrics.jsonl"
    self.warn = warn
    file = AppendedFile(path, warn: warn)
  }

  /// Removes the lines of iterations that are done again. The file of an earlier run, when this one starts at the
  /// beginning, is kept under another name.
  package func start(at iteration: Int) throws {
    file = AppendedFile(path, warn: warn)
    guard fileExists(path) else { return }
    if iteration == 0 {
      rename(path, "\(path.dropLast(".jsonl".count)).previous.jsonl")
      return
    }
    struct Line: Decodable { var iteration: Int }
    let lines = ((try? readFile(path)) ?? Data()).split(separator: UInt8(ascii: "\n"))
    let kept = lines.filter { line in
      // A line that a killed run left half written is none.
      (try? JSONDecoder().decode(Line.self, from: line)).map { $0.iteration < iteration } ?? false
    }
    do {
      try writeFile(
        Data(kept.joined(separator: [UInt8(ascii: "\n")])) + Data(kept.isEmpty ? "".utf8 : "\n".utf8), to: path)
    } catch let fault as Diagnostic {
      warn(fault.message)
    }
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
        loss.add("value", outputs.map(\.value))
        loss.add("weight", weight)
        losses.add(name, loss)
      } else {
        metrics.add(name, outputs.map(\.value))
      }
    }
    line.add("losses", losses)
    line.add("metrics", metrics)
    if let speed = record.recordsPerSecond { line.add("records_per_second", (speed * 10).rounded() / 10) }
    line.add("memory_bytes", Double(record.memoryByteCount))
    file.append(Data((line.text + "\n").utf8))
  }
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
  mutating func add(_ name: String, text: String) { add(name, json: JSONObject.quoted(text)) }
  mutating func add(_ name: String, _ number: Double) { add(name, json: JSONObject.number(number)) }
  mutating func add(_ name: String, _ number: Float) { add(name, json: JSONObject.number(number)) }

  /// One number as it is, several as an array.
  mutating func add(_ name: String, _ numbers: [Float]) {
    let texts = numbers.map(JSONObject.number)
    add(name, json: texts.count == 1 ? texts[0] : "[\(texts.joined(separator: ","))]")
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
