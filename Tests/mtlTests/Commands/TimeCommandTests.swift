import Foundation
import Testing

@testable import mtl

/// The lines of `caffe time` as people's scripts take them apart.
@Suite final class TimeCommandTests {
  let folder: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("mtl-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try Data(SmallNet.prototxt.utf8).write(to: folder.appendingPathComponent("net.prototxt"))
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  /// Standard output of shell lines in which `$mtl` is the program.
  private func output(of lines: String) throws -> [String] {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "{ \(lines)\n} > output"]
    process.currentDirectoryURL = folder
    process.environment = ProcessInfo.processInfo.environment.merging(["mtl": ConversionProcessTests.program.path]) {
      $1
    }
    try process.run()
    process.waitUntilExit()
    let text = try String(contentsOf: folder.appendingPathComponent("output"), encoding: .utf8)
    return text.split(separator: "\n").map(String.init)
  }

  private let command = "\"$mtl\" time -model=net.prototxt -iterations 3 --engine reference"

  @Test func awkFindsTheTimesOfLayers() throws {
    let lines = try output(
      of: "\(command) 2>&1 >/dev/null | awk '/forward: [0-9.e-]+ ms\\.$/ { print $5, $6, $7, $8 }'")
    let words = lines.map { $0.split(separator: " ").map(String.init) }
    #expect(
      words.map { $0[0] } == [
        "data", "conv", "relu", "flat", "flat_sum", "a", "b", "loss_a", "loss_a_seed", "loss_b", "loss_b_seed",
      ])
    #expect(words.allSatisfy { $0[1] == "forward:" && Double($0[2]) != nil && $0[3] == "ms." })
  }

  @Test func awkFindsLayersWhoseWorkAnotherOneDoes() throws {
    let rectified = SmallNet.prototxt.replacingOccurrences(of: "negative_slope: 0.1", with: "negative_slope: 0")
    try Data(rectified.utf8).write(to: folder.appendingPathComponent("net.prototxt"))
    let lines = try output(of: "\(command) 2>&1 >/dev/null | awk '/forward: [0-9.e-]+ ms\\.$/ { print $5, $7 }'")
    #expect(lines.map { $0.split(separator: " ")[0] }.prefix(4) == ["data", "conv", "relu", "flat"])
    #expect(lines[2] == "relu 0")
  }

  @Test func awkFindsTheTotals() throws {
    let lines = try output(
      of: """
        \(command) 2>&1 >/dev/null | tee log | awk '/Average (Forward|Backward) pass|Average Forward-Backward/ { print $(NF-1) }'
        grep -c 'caffe.cpp:394] Iteration: [1-3] forward-backward time: [0-9.e-]* ms\\.$' log
        grep -c 'caffe.cpp:397] Average time per layer: $' log
        awk '/Total Time/ { print $(NF-1) }' log
        """)
    let numbers = lines.compactMap(Double.init)
    try #require(numbers.count == 6)
    #expect(numbers[3] == 3 && numbers[4] == 1)
    // Sums of numbers that were rounded to six digits.
    #expect(abs(numbers[0] + numbers[1] - numbers[2]) <= 1e-4 * numbers[2])
    #expect(abs(3 * numbers[2] - numbers[5]) <= 1e-4 * numbers[5])
  }

  @Test func testPhaseRunsForwardAlone() throws {
    let lines = try output(of: "\(command) --phase TEST 2>&1 | awk '/Average Backward pass/ { print $(NF-1) }'")
    #expect(lines == ["0"])
  }

  @Test func layersBelongToStagesAndLevels() throws {
    let net = """
      layer { name: "data" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 } } }
      layer { name: "staged" type: "ReLU" bottom: "x" top: "a" include { stage: "deep" min_level: 2 } }
      layer { name: "plain" type: "ReLU" bottom: "x" top: "b" exclude { stage: "deep" } }
      """
    try Data(net.utf8).write(to: folder.appendingPathComponent("staged.prototxt"))
    let time = "\"$mtl\" time -model=staged.prototxt -iterations 1 -phase TEST --engine reference"
    let names = "2>/dev/null | awk '$2 == \"ReLU\" { print $1 }'"
    #expect(try output(of: "\(time) \(names)") == ["plain"])
    #expect(try output(of: "\(time) -level 2 -stage more,deep \(names)") == ["staged"])
  }

  @Test func tablesGoToStandardOutput() throws {
    let lines = try output(
      of: "\(command) 2>/dev/null | awk '/^conv/ { print $2 } /^(forward|backward|without)/ { print $1 }'")
    #expect(lines == ["Convolution", "forward", "backward", "forward+backward", "without"])
  }
}
