import CaffeSchema
import Foundation
import Nets
import Testing

@testable import mtl

/// The nets of `models` are whole: they can be built, have as many learned values as their architecture, and what is
/// deployed is what was trained.
@Suite struct ModelNetTests {
  private let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("models").path

  static let nets: [(deployed: String, trained: String, count: Int)] = [
    ("tcdcn/mtfl/deploy", "tcdcn/mtfl/train_val", 79_357), ("tcdcn/deploy", "tcdcn/train_val", 80_165),
    ("mcnn/deploy", "mcnn/aux_train_val", 330_976), ("mcnn/celeba/deploy", "mcnn/celeba/aux_train_val", 73_756_332),
    ("googlenet/deploy", "googlenet/train_val", 5_977_530),
  ]

  @Test(arguments: nets.indices) func deploysWhatWasTrained(_ index: Int) throws {
    let (deployed, trained, count) = Self.nets[index]
    let source = try NetSource.read(path: "\(folder)/\(deployed).prototxt")
    var state = NetState()
    state.phase = .test
    let graph = try Graph(
      layers: source.layers(in: state), phase: .test, paths: PathSearch(), catalogue: EngineOptions.catalogue,
      options: GraphOptions())
    #expect(graph.nodes.flatMap(\.parameters).reduce(0) { $0 + $1.shape.count } == count)
    let training = try NetSource.read(path: "\(folder)/\(trained).prototxt").parameter.layer
    for node in graph.nodes where !node.parameters.isEmpty {
      let same = try #require(training.first { $0.name == node.fields.name }, "\(node.fields.name)")
      let parameter = node.fields.parameter
      #expect(same.type == parameter.type && same.bottom == parameter.bottom, "\(same.name)")
      #expect(same.convolutionParam.numOutput == parameter.convolutionParam.numOutput, "\(same.name)")
      #expect(same.innerProductParam.numOutput == parameter.innerProductParam.numOutput, "\(same.name)")
    }
  }

  /// The second stage holds all but the auxiliary layer fast.
  @Test(arguments: ["mcnn", "mcnn/celeba"]) func theSecondStageLearnsOneLayer(_ model: String) throws {
    let layers = try NetSource.read(path: "\(folder)/\(model)/aux_train_val.prototxt").parameter.layer
    let learning = layers.filter { ["Convolution", "InnerProduct"].contains($0.type) }
      .filter { $0.param.isEmpty || $0.param.contains { $0.lrMult != 0 } }
    #expect(learning.map(\.name) == ["aux"])
  }
}
