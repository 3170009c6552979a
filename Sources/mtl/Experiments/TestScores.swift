import Diagnostics
import Foundation
import Tasks

/// What the tests of a run measured, from its metrics file.
struct TestScores {
  /// A test of both nets: by task, what is chosen by and what is told.
  struct Test: Equatable {
    var iteration: Int
    var validation: [Double]
    var report: [Double]
  }

  /// In the order of iterations; without those in which a task had no label.
  let tests: [Test]

  private struct Line: Decodable {
    struct Loss: Decodable { var value: MeanNumber? }

    var iteration: Int
    var phase: String?
    var testNet: Int?
    var losses: [String: Loss]?
    var metrics: [String: MeanNumber]?

    enum CodingKeys: String, CodingKey {
      case iteration, phase, losses, metrics
      case testNet = "test_net"
    }

    func value(_ name: String) -> Double? { metrics?[name]?.mean ?? losses?[name]?.value?.mean }
  }

  /// - Throws: `unreadableFile`.
  init(path: String, tasks: [TaskMetric], validation: Int, report: Int) throws {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw Diagnostic(.unreadableFile, "'\(path)', which a finished run has written, is not there any more")
    }
    var tests: [Int: (validation: [Double]?, report: [Double]?)] = [:]
    for text in data.split(separator: UInt8(ascii: "\n")) {
      guard let line = try? JSONDecoder().decode(Line.self, from: text), line.phase == "test", let net = line.testNet
      else { continue }
      let values = tasks.compactMap { line.value($0.output) }
      guard values.count == tasks.count else { continue }
      if net == validation { tests[line.iteration, default: (nil, nil)].validation = values }
      if net == report { tests[line.iteration, default: (nil, nil)].report = values }
    }
    self.tests = tests.sorted { $0.key < $1.key }.compactMap { iteration, values in
      guard let validation = values.validation, let report = values.report else { return nil }
      return Test(iteration: iteration, validation: validation, report: report)
    }
  }
}
