import CaffeSchema
import ComputeReference
import Diagnostics
import Foundation
import Layers
import Logging
import Nets
import Records
import Synchronization
import Testing

@testable import Solvers

/// A folder with a small database, and solvers that work in it.
final class SolverJob {
  /// The lines of the runs' logs so far.
  let lines = LogLines()
  private let folder: TemporaryFolder
  var path: String { folder.path }

  static let images = 12
  static let net = """
    name: "Small"
    layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "records" batch_size: 4 shuffle: true } }
    layer { name: "drop" type: "Dropout" bottom: "data" top: "drop" dropout_param { dropout_ratio: 0.3 } }
    layer { name: "hidden" type: "InnerProduct" bottom: "drop" top: "hidden" inner_product_param { num_output: 6
      weight_filler { type: "xavier" } } }
    layer { name: "bn" type: "BatchNorm" bottom: "hidden" top: "hidden" }
    layer { name: "relu" type: "ReLU" bottom: "hidden" top: "hidden" }
    layer { name: "score" type: "InnerProduct" bottom: "hidden" top: "score" inner_product_param { num_output: 3
      weight_filler { type: "xavier" } } }
    layer { name: "size" type: "InnerProduct" bottom: "hidden" top: "size" inner_product_param { num_output: 1
      weight_filler { type: "xavier" } } }
    layer { name: "loss_kind" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss_kind" }
    layer { name: "loss_size" type: "EuclideanLoss" bottom: "size" bottom: "label" top: "loss_size" loss_weight: 0.1 }
    layer { name: "accuracy" type: "Accuracy" bottom: "score" bottom: "label" top: "accuracy" include { phase: TEST } }
    """

  init() throws {
    folder = try TemporaryFolder()
    try write(Self.net, to: "net.prototxt")
    try writeRecords { _ in nil }
  }

  /// Records of 5 values and a label below 3; `special` may give other values for record `index`.
  func writeRecords(special: (Int) -> [Float]?) throws {
    try? FileManager.default.removeItem(atPath: "\(path)/records")
    try FileManager.default.createDirectory(atPath: "\(path)/records", withIntermediateDirectories: true)
    let writer = try LMDBWriter(folder: "\(path)/records")
    for index in 0..<Self.images {
      var datum = Datum()
      let usual = (0..<5).map { Float(($0 * 7 + index * 5) % 11) / 5 - 1 }
      let values: [Float] = special(index) ?? usual
      datum.channels = Int32(values.count)
      datum.height = 1
      datum.width = 1
      datum.label = Int32(index % 3)
      datum.floatData = values
      try writer.put(key: Array("\(100 + index)_record".utf8), value: Array(datum.serializedData()))
    }
    try writer.finish()
  }

  func write(_ text: String, to name: String) throws { try Data(text.utf8).write(to: url(name)) }
  func contents(_ name: String) throws -> Data { try Data(contentsOf: url(name)) }
  func write(_ bytes: Data, to name: String) throws { try bytes.write(to: url(name)) }
  func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }
  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(path)/\(name)") }
  func remove(_ name: String) throws { try FileManager.default.removeItem(at: url(name)) }
  private func url(_ name: String) -> URL { URL(fileURLWithPath: "\(path)/\(name)") }

  static let usual = """
    base_lr: 0.05 lr_policy: "inv" gamma: 0.1 power: 0.75 momentum: 0.9 weight_decay: 0.001 display: 1 average_loss: 5
    test_iter: 2 test_interval: 4 max_iter: 20
    """

  func settings(_ text: String = usual, prefix: String = "snap", net: String = "net.prototxt") throws -> SolverSettings
  {
    let source = try SolverSource(
      text: "net: \"\(net)\" snapshot_prefix: \"\(path)/\(prefix)\" \(text)", file: "\(path)/solver.prototxt")
    return try SolverSettings(source)
  }

  func solver(
    _ text: String = usual, prefix: String = "snap", net: String = "net.prototxt", seed: UInt64 = 3,
    options: (SolverNets) throws -> Solver.Options = { _ in Solver.Options() }
  ) throws -> Solver {
    let settings = try settings(text, prefix: prefix, net: net)
    let nets = try SolverNets(
      settings, engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes + recordLayerTypes), seed: seed)
    return try Solver(
      settings, nets: nets, log: TrainingLog(Logger(label: "test", factory: { [lines] _ in lines.handler })),
      options: try options(nets))
  }

  /// The newest whole snapshot, and what was skipped on the way to it.
  func newest(_ prefix: String = "snap") -> (point: ResumePoint?, skipped: [String]) {
    var skipped: [String] = []
    let point = ResumePoint.newest(ofPrefix: "\(path)/\(prefix)") { skipped.append($0.message) }
    return (point, skipped)
  }
}

/// Collects the lines of a log.
final class LogLines: Sendable {
  private let lines = Mutex<[String]>([])

  var all: [String] { lines.withLock { $0 } }
  func clear() { lines.withLock { $0 = [] } }
  var handler: any LogHandler { Handler(owner: self) }

  /// Without what depends on the clock.
  var timeless: [String] {
    all.map { line in
      guard let open = line.range(of: " ("), let close = line.range(of: " iters)") else { return line }
      return String(line[..<open.lowerBound] + line[close.upperBound...])
    }
  }

  private struct Handler: LogHandler {
    let owner: LogLines
    var logLevel: Logger.Level = .info
    var metadata: Logger.Metadata = [:]

    init(owner: LogLines) { self.owner = owner }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
      owner.lines.withLock { $0.append(event.message.description) }
    }
  }
}
