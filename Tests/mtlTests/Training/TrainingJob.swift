import Foundation
import Testing

/// A folder with a small net and a solver, and the program to train it with.
final class TrainingJob {
  private let folder: URL
  var path: String { folder.path }

  static let net = """
    layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
      shape { dim: 8 dim: 20 } shape { dim: 8 } data_filler { type: "gaussian" std: 1 }
      data_filler { type: "constant" value: 1 } } }
    layer { name: "hidden" type: "InnerProduct" bottom: "data" top: "hidden" inner_product_param { num_output: 300
      weight_filler { type: "xavier" } } }
    layer { name: "drop" type: "Dropout" bottom: "hidden" top: "hidden" }
    layer { name: "score" type: "InnerProduct" bottom: "hidden" top: "score" inner_product_param { num_output: 3
      weight_filler { type: "xavier" } } }
    layer { name: "size" type: "InnerProduct" bottom: "hidden" top: "size" inner_product_param { num_output: 1
      weight_filler { type: "xavier" } } }
    layer { name: "loss_kind" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss_kind" }
    layer { name: "loss_size" type: "EuclideanLoss" bottom: "size" bottom: "label" top: "loss_size" loss_weight: 0.5 }
    layer { name: "accuracy" type: "Accuracy" bottom: "score" bottom: "label" top: "accuracy" include { phase: TEST } }
    """

  init(_ limits: String, net: String = TrainingJob.net) throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("mtl-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try write(net, to: "net.prototxt")
    try writeSolver(limits)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  func writeSolver(_ limits: String, seed: Int = 1) throws {
    try write(
      """
      net: "net.prototxt" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 snapshot_prefix: "snap" random_seed: \(seed) \(limits)
      """, to: "solver.prototxt")
  }

  private func url(_ name: String) -> URL { folder.appendingPathComponent(name) }
  func write(_ text: String, to name: String) throws { try Data(text.utf8).write(to: url(name)) }
  func contents(_ name: String) throws -> Data { try Data(contentsOf: url(name)) }
  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: url(name).path) }
  func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: path).sorted() }

  func removeSnapshots() throws {
    for name in try names() where name.hasPrefix("snap") { try FileManager.default.removeItem(at: url(name)) }
  }

  /// A run of the program that goes on while its log is read.
  func start(_ arguments: [String] = []) throws -> TrainingRun {
    try TrainingRun(["train", "--solver", "solver.prototxt", "--threads", "1"] + arguments, in: folder)
  }

  /// A run to its end.
  func run(_ arguments: [String] = []) throws -> (status: Int32, log: String) {
    let run = try start(arguments)
    let log = run.readLog()
    return (run.wait(), log)
  }
}

/// The program at work.
final class TrainingRun {
  let process = Process()
  private let errors = Pipe()
  private var received = ""

  init(_ arguments: [String], in folder: URL) throws {
    process.executableURL = ConversionProcessTests.program
    process.arguments = arguments
    process.currentDirectoryURL = folder
    process.standardError = errors
    try process.run()
  }

  deinit {
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
  }

  /// The log so far, read until it is as wanted or the program ends.
  @discardableResult
  func readLog(until isEnough: (String) -> Bool) -> String {
    while !isEnough(received) {
      let part = errors.fileHandleForReading.availableData
      if part.isEmpty { break }
      received += String(decoding: part, as: UTF8.self)
    }
    return received
  }

  /// The log until it holds a text.
  @discardableResult
  func readLog(until text: String) -> String { readLog { $0.contains(text) } }

  /// The log to its end.
  func readLog() -> String { readLog { _ in false } }

  /// The log is read until it has so many lines, or the program ends.
  @discardableResult func readLines(_ count: Int) -> String {
    var lines = 0
    var log = Data()
    while lines < count {
      let part = errors.fileHandleForReading.availableData
      if part.isEmpty { break }
      lines += part.count { $0 == UInt8(ascii: "\n") }
      log += part
    }
    return String(decoding: log, as: UTF8.self)
  }

  func stopReading() { try? errors.fileHandleForReading.close() }

  func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

  /// Whether the program still handles a signal itself.
  func handles(_ signal: Int32) -> Bool {
    let status = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("SigCgt:") } ?? ""
    let mask = UInt64(line.split(separator: "\t").last ?? "0", radix: 16) ?? 0
    return mask >> UInt64(signal - 1) & 1 == 1
  }

  func wait() -> Int32 {
    process.waitUntilExit()
    return process.terminationStatus
  }
}
