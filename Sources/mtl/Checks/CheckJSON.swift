import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Tasks

/// The report of `mtl check` for tools: an object with `files`.
struct CheckJSON: Encodable {
  struct File: Encodable {
    var file: String
    var kind: String
    var loads: Bool
    var errors: [Fault]
    var warnings: [Fault]
    var nets: [CheckedNet]
  }

  struct Fault: Encodable {
    var code: String
    var message: String
    var layer: String?
    var line: Int?
    var column: Int?
    /// The whole, as it is printed.
    var text: String
  }

  struct CheckedNet: Encodable {
    var net: String
    var phase: String
    var layers: [Layer]
    var tasks: [Task]
    var assumed: [Top]
    var errors: [Fault]
    var warnings: [Fault]
    var parameters: Int
    var learnedParameters: Int
    var multiplyAdds: Int
    var blobBytes: Int
  }

  struct Layer: Encodable {
    var name: String
    var type: String
    var tops: [Top]
    var parameters: Int
    var learnedParameters: Int
    var multiplyAdds: Int
  }

  struct Top: Encodable {
    var name: String
    var shape: [Int]
  }

  struct Task: Encodable {
    var name: String
    var loss: String?
    var weight: Float
    var normalization: String?
    var scores: [Int]?
    var metrics: [String]
  }

  var files: [File]

  init(_ files: [CheckedFile]) {
    self.files = files.map { file in
      File(
        file: file.path, kind: file.kind.rawValue, loads: file.loads, errors: file.faults.map(Fault.init),
        warnings: file.warnings.map(Fault.init), nets: file.nets.map { CheckedNet($0.name, $0.check) })
    }
  }

  func text() throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(self), as: UTF8.self)
  }
}

extension CheckJSON.Fault {
  fileprivate init(_ fault: Diagnostic) {
    code = fault.code.rawValue
    message = fault.message
    layer = fault.layer?.name
    line = fault.location.flatMap { $0.line > 0 ? $0.line : nil }
    column = fault.location.flatMap { $0.column > 0 ? $0.column : nil }
    text = fault.description
  }
}

extension CheckJSON.CheckedNet {
  fileprivate init(_ name: String, _ check: NetCheck) {
    net = name
    phase = check.phase == .train ? "TRAIN" : "TEST"
    layers = check.layers.map { layer in
      CheckJSON.Layer(
        name: layer.name, type: layer.type,
        tops: layer.tops.map { CheckJSON.Top(name: $0.name, shape: $0.shape.dims) }, parameters: layer.parameterCount,
        learnedParameters: layer.learnedCount, multiplyAdds: layer.multiplyAdds)
    }
    tasks = check.tasks.map { task in
      CheckJSON.Task(
        name: task.name, loss: task.loss, weight: task.weight,
        normalization: task.normalization.map(CheckText.words), scores: task.scores?.dims, metrics: task.metrics)
    }
    assumed = check.assumptions.flatMap { $0.tops.map { CheckJSON.Top(name: $0.name, shape: $0.shape.dims) } }
    errors = check.faults.map(CheckJSON.Fault.init)
    warnings = check.warnings.map(CheckJSON.Fault.init)
    parameters = check.parameterCount
    learnedParameters = check.learnedCount
    multiplyAdds = check.multiplyAdds
    blobBytes = check.blobBytes
  }
}
