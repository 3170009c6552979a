import CaffeSchema
import Foundation
import Nets
import Testing

@testable import mtl

/// The nets of `models/bench` are the published architectures: their numbers of learned values are known.
@Suite struct BenchNetTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("models/bench").path

  @Test(arguments: [
    ("lenet", 431_080, 1), ("digits5", 235_509, 5), ("tcdcn", 79_357, 5), ("cifar10_full", 89_578, 1),
    ("caffenet", 60_965_224, 1),
    ("resnet18", 11_689_512, 1), ("googlenet", 13_378_280, 3), ("mcnn", 50_406_548, 40),
  ])
  func learnsWhatIsPublished(_ name: String, _ count: Int, _ losses: Int) throws {
    let source = try NetSource.read(path: "\(Self.folder)/\(name).prototxt")
    #expect(source.warnings.isEmpty)
    var state = NetState()
    state.phase = .train
    let graph = try Graph(
      layers: source.layers(in: state), phase: .train, paths: PathSearch(), catalogue: EngineOptions.catalogue,
      options: GraphOptions())
    let learned = graph.nodes.flatMap(\.parameters).filter { !$0.isStatistic }
    #expect(learned.reduce(0) { $0 + $1.shape.count } == count)
    #expect(graph.values.filter { $0.lossWeight != 0 }.count == losses)
  }
}
