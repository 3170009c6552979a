import CaffeSchema
import ComputeReference
import Diagnostics
import Foundation
import Layers
import Nets
import Testing

@testable import Solvers

/// Which nets a solver file names, in all the ways of the format.
@Suite struct SolverNetsTests {
  private let work: TemporaryFolder

  /// A net that tells its phase, level and stages by the names of its outputs.
  private static let net = """
    layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 3 } } }
    layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
    layer { name: "train" type: "Power" bottom: "ip" top: "train" include { phase: TRAIN } }
    layer { name: "test" type: "Power" bottom: "ip" top: "test" include { phase: TEST } }
    layer { name: "high" type: "Power" bottom: "ip" top: "high" include { min_level: 2 } }
    layer { name: "easy" type: "Power" bottom: "ip" top: "easy" include { stage: "easy" } }
    layer { name: "hard" type: "Power" bottom: "ip" top: "hard" include { stage: "hard" not_stage: "easy" } }
    """

  init() throws {
    work = try TemporaryFolder()
    try write(Self.net, to: "net")
    try write(Self.net.replacing("\"test\"", with: "\"other\""), to: "other")
  }

  private func write(_ text: String, to name: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(work.path)/\(name)"))
  }

  private func nets(_ text: String) throws -> SolverNets {
    let source = try SolverSource(
      text: text + #" base_lr: 0.1 lr_policy: "fixed" max_iter: 1"#, file: "\(work.path)/s.prototxt")
    return try SolverNets(
      SolverSettings(source), engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes), seed: 1)
  }

  private func outputs(_ net: Net) -> String { net.outputs.map(\.name).joined(separator: " ") }

  private static let inline = net.replacing("\n", with: " ")

  @Test(arguments: [
    (#"net: "net" test_iter: 1 test_interval: 1"#, ["train", "test"]),
    (
      #"train_net: "net" test_net: "other" test_net: "net" test_iter: 1 test_iter: 1 test_interval: 1"#,
      ["train", "other", "test"]
    ),
    (#"net: "net" test_net: "other" test_iter: 1 test_iter: 1 test_interval: 1"#, ["train", "other", "test"]),
    ("net_param { \(inline) } test_iter: 1 test_interval: 1", ["train", "test"]),
    ("train_net_param { \(inline) } test_net_param { \(inline) } test_iter: 1 test_interval: 1", ["train", "test"]),
    (
      #"net: "net" train_state { stage: "easy" level: 3 } test_state { stage: "hard" } test_state { level: 2 stage: "easy" } "#
        + "test_iter: 1 test_iter: 1 test_interval: 1",
      ["easy high train", "hard test", "easy high test"]
    ),
    (#"net: "net""#, ["train"]),
  ])
  func areNamed(_ text: String, _ expected: [String]) throws {
    let nets = try nets(text)
    #expect([outputs(nets.train)] + nets.tests.map(outputs) == expected)
    for test in nets.tests {
      #expect(
        test.parameterTable.unique.map { ObjectIdentifier($0.parameter) }
          == nets.train.parameterTable.unique.map { ObjectIdentifier($0.parameter) })
    }
  }

  @Test(arguments: [
    ("", "no net is given"),
    (#"net: "net" train_net: "net""#, "only one training net may be given, not net and train_net"),
    (
      #"net: "net" test_net: "net" test_net: "net" test_iter: 1 test_interval: 1"#,
      "2 test nets are given, but test_iter 1 times"
    ),
    (#"train_net: "net" test_iter: 1 test_interval: 1"#, "0 test nets are given, but test_iter 1 times"),
    (
      #"net: "net" test_state { } test_state { } test_iter: 1 test_interval: 1"#,
      "test_state is given 2 times for 1 test nets"
    ),
    (#"net: "nowhere""#, "there is no file 'nowhere'"),
    (#"net: "net" test_interval: 1"#, "test_interval is given without test_iter"),
  ])
  func contradictions(_ text: String, _ message: String) throws {
    let fault = #expect(throws: Diagnostic.self) { _ = try nets(text) }
    #expect(fault?.message.contains(message) == true, "\(fault?.message ?? "")")
  }
}
