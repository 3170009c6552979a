import Foundation
import Testing

/// The log as programs of others read it: by regular expressions, as Caffe's parse_log.py does, and by grep, awk and sed,
/// as shell scripts do.
@Suite struct LogParserTests {
  private let job: TrainingJob
  private let log: String

  init() throws {
    job = try TrainingJob("max_iter: 30 display: 10 test_iter: 3 test_interval: 20 snapshot: 20 average_loss: 2")
    let outcome = try job.run()
    #expect(outcome.status == 0)
    log = outcome.log
    try job.write(log, to: "train.log")
  }

  /// A table of the kind that parse_log.py makes: a row for each iteration with outputs.
  private func rows(_ kind: String) throws -> [(
    iteration: Int, rate: Double, seconds: Double, values: [String: Double]
  )] {
    let iteration = try Regex(#"Iteration (\d+)"#)
    let output = try Regex(kind + #" net output #(\d+): (\S+) = ([.\deE+-]+)"#)
    let rate = try Regex(#"lr = ([-+]?[0-9]*\.?[0-9]+([eE]?[-+]?[0-9]+)?)"#)
    var rows: [(iteration: Int, rate: Double, seconds: Double, values: [String: Double])] = []
    var current = -1
    var lastRate = Double.nan
    var start: Double?
    for line in log.split(separator: "\n") {
      if line.contains("Solving") { start = try seconds(line) }
      if let match = line.firstMatch(of: iteration) { current = Int(match[1].substring ?? "") ?? -1 }
      guard current >= 0, let start else { continue }
      if let match = line.firstMatch(of: rate) { lastRate = Double(match[1].substring ?? "") ?? .nan }
      guard let match = line.firstMatch(of: output) else { continue }
      if rows.last?.iteration != current { rows.append((current, lastRate, try seconds(line) - start, [:])) }
      rows[rows.count - 1].values[String(match[2].substring ?? "")] = Double(match[3].substring ?? "")
    }
    return rows
  }

  /// The time of day of a line: `I1123 07:07:54.626958 22896 solver.cpp:289] …`.
  private func seconds(_ line: Substring) throws -> Double {
    let words = line.split(separator: " ")
    #expect(words[0].count == 5 && Int(words[0].dropFirst()) != nil, "\(line)")
    let parts = words[1].split(separator: ":").compactMap { Double($0) }
    try #require(parts.count == 3, "\(line)")
    return parts[0] * 3600 + parts[1] * 60 + parts[2]
  }

  @Test func byRegularExpressions() throws {
    let train = try rows("Train")
    #expect(train.map(\.iteration) == [0, 10, 20])
    let test = try rows("Test")
    #expect(test.map(\.iteration) == [0, 20])
    for row in train + test {
      #expect(row.seconds >= 0 && row.seconds < 86400)
      #expect(Set(["loss_kind", "loss_size"]).isSubset(of: row.values.keys))
      #expect(row.values.values.allSatisfy { $0.isFinite })
    }
    #expect(test.allSatisfy { $0.values["accuracy"] != nil })
    // The rate of an iteration stands behind its outputs, as in Caffe's log.
    #expect(train.dropFirst().allSatisfy { $0.rate == 0.001 })
  }

  private func shell(_ script: String) throws -> [String] {
    let process = Process()
    let output = Pipe()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", script]
    process.currentDirectoryURL = URL(fileURLWithPath: job.path)
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return text.split(separator: "\n").map(String.init)
  }

  @Test func byShellScripts() throws {
    let test = try rows("Test")
    #expect(
      try shell("grep 'Testing net' train.log | sed 's/.*Iteration \\([[:digit:]]*\\).*/\\1/'") == ["0", "20"])
    #expect(
      try shell("grep 'Test net output #0' train.log | awk '{print $11}'").compactMap(Double.init)
        == test.compactMap { $0.values["accuracy"] })
    #expect(
      try shell("grep 'Test net output #1' train.log | awk '{print $11}'").compactMap(Double.init)
        == test.compactMap { $0.values["loss_kind"] })
    // The weighted loss of a task: `(* 0.5 = 0.123 loss)`.
    let weighted = try shell("grep 'Train net output #1' train.log | awk '{print $15}'").compactMap(Double.init)
    #expect(weighted.count == 3)
    for (value, row) in zip(weighted, try rows("Train")) {
      #expect(abs(value - 0.5 * (row.values["loss_size"] ?? .nan)) < 1e-5 * max(1, value))
    }
    #expect(try shell("grep ', lr = ' train.log | awk '{print $9}'") == ["0.001", "0.001", "0.001"])
    let losses = try shell("grep -E 'Iteration [0-9]+ \\(.*loss = ' train.log | sed 's/.*loss = //'")
    #expect(losses.count == 3 && losses.allSatisfy { Double($0) != nil })
    #expect(
      try shell("grep '] Solving \\|Optimization Done' train.log | awk '{print $4}'")
        == ["solver.cpp:289]", "solver.cpp:332]", "caffe.cpp:250]"])
    #expect(
      try shell("grep -o 'Snapshotting to binary proto file .*' train.log | awk '{print $NF}'")
        == ["snap_iter_20.caffemodel", "snap_iter_30.caffemodel"])
  }
}
