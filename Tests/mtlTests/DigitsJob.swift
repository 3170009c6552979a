import Foundation
import Testing

/// A folder with the digits' databases and a solver, and the program to run in it.
final class DigitsJob {
  struct Outcome {
    var status: Int32
    var output: String
    var errors: String
  }

  private let folder: URL
  private let fixtures: String
  /// The weights that Caffe's run started from.
  let start: String

  init(model: String, fixtures: String) throws {
    self.fixtures = fixtures
    start = fixtures + "/init.caffemodel"
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("mtl-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: fixtures + "/net.prototxt", toPath: path("net.prototxt"))
    let unpack = try run(URL(fileURLWithPath: "/usr/bin/env"), ["tar", "-xzf", model + "/images.tar.gz"])
    #expect(unpack.status == 0, "\(unpack.errors)")
    for part in ["train", "test"] {
      let conversion = try run([
        "convert-multilabel", "--gray", "\(model)/\(part).txt", "--root", ".", "--image-db", "\(part)_image",
        "--label-db", "\(part)_label",
      ])
      #expect(conversion.status == 0, "\(conversion.errors)")
    }
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  private func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

  /// The solver of Caffe's run with other limits.
  func writeSolver(_ limits: String, rate: String = "0.05") throws {
    try write(
      """
      net: "net.prototxt" base_lr: \(rate) momentum: 0.9 weight_decay: 0.0005 lr_policy: "inv" gamma: 0.0001 power: 0.75
      snapshot_prefix: "snap" random_seed: 1 \(limits)
      """, to: "solver.prototxt")
  }

  func write(_ text: String, to name: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: path(name))) }

  func text(_ name: String) throws -> String { try String(contentsOfFile: path(name), encoding: .utf8) }

  func contents(_ name: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path(name))) }

  func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: folder.path) }

  /// Runs the program. With `interruptAfter`, sends it SIGINT once its errors hold that text.
  func run(_ arguments: [String], interruptAfter: String? = nil) throws -> Outcome {
    try run(ConversionProcessTests.program, arguments, interruptAfter: interruptAfter)
  }

  private func run(_ program: URL, _ arguments: [String], interruptAfter: String? = nil) throws -> Outcome {
    let process = Process()
    let errors = Pipe()
    let output = path("output-\(UUID().uuidString)")
    try Data().write(to: URL(fileURLWithPath: output))
    process.executableURL = program
    process.arguments = arguments
    process.currentDirectoryURL = folder
    process.standardError = errors
    process.standardOutput = FileHandle(forWritingAtPath: output)
    try process.run()
    var received = Data()
    var isInterrupted = false
    while true {
      let part = errors.fileHandleForReading.availableData
      if part.isEmpty { break }
      received += part
      if let interruptAfter, !isInterrupted, String(decoding: received, as: UTF8.self).contains(interruptAfter) {
        process.interrupt()
        isInterrupted = true
      }
    }
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
      errors: String(decoding: received, as: UTF8.self))
  }

  // MARK: What Caffe computed

  /// Per iteration, the loss of each task.
  func trajectory() throws -> [[String: Float]] {
    let lines = try String(contentsOfFile: fixtures + "/trajectory.tsv", encoding: .utf8).split(separator: "\n")
    let tasks = lines[0].split(separator: "\t").dropFirst().map(String.init)
    return lines.dropFirst().map { line in
      let values = line.split(separator: "\t").dropFirst().compactMap { Float($0) }
      return Dictionary(uniqueKeysWithValues: zip(tasks, values))
    }
  }

  /// Accuracies and losses after 300 iterations.
  func finalTest() throws -> [String: Float] {
    let lines = try String(contentsOfFile: fixtures + "/final_test.tsv", encoding: .utf8).split(separator: "\n")
    return Dictionary(
      uniqueKeysWithValues: lines.map { line in
        let cells = line.split(separator: "\t")
        return (String(cells[0]), Float(cells[1]) ?? .nan)
      })
  }
}

/// A training log read as the scripts of Caffe's users do: by the words of its lines.
struct DigitsLog {
  /// Per iteration, the loss of each task.
  private(set) var trainLosses: [Int: [String: Float]] = [:]

  init(_ text: String) {
    var iteration = -1
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ").map(String.init)
      if let at = words.firstIndex(of: "Iteration"), words.count > at + 2, words[at + 2].hasPrefix("(") {
        iteration = Int(words[at + 1]) ?? -1
      }
      if let at = words.firstIndex(of: "output"), words[at - 2] == "Train", let value = Float(words[at + 4]) {
        trainLosses[iteration, default: [:]][words[at + 2]] = value
      }
    }
  }
}

/// The table of `mtl test`.
struct DigitsTable {
  private(set) var rows: [String: (value: Float, loss: Float, records: Int)] = [:]

  init(_ text: String) {
    for line in text.split(separator: "\n").dropFirst(2) {
      let cells = line.split(separator: " ").map(String.init)
      guard cells.count == 6, let value = Float(cells[2]), let loss = Float(cells[3]), let records = Int(cells[5])
      else {
        continue
      }
      rows[cells[0]] = (value, loss, records)
    }
  }
}
