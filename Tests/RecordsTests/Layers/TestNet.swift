import CaffeSchema
import ComputeReference
import Diagnostics
import Foundation
import Layers
import Nets
import Testing

@testable import Records

/// A net around data layers, its prototxt in the folder where it looks for its files.
func dataNet(
  _ text: String, in folder: TestFolder, seed: UInt64 = 1, phase: Phase = .train, sources: SourcePolicy = .required
) throws -> Net {
  var options = NetOptions(phase: phase)
  options.seed = seed
  options.graph.sources = sources
  options.keepsEverything = true
  return try Net(
    NetSource(text: text, file: folder("net.prototxt")), engine: ReferenceEngine(),
    catalogue: LayerCatalogue(layerTypes + recordLayerTypes), options: options)
}

/// The shapes that a net's graph infers, by name of blob, and its warnings.
func inferred(
  _ text: String, in folder: TestFolder, phase: Phase = .train
) throws -> (shapes: [String: String], warnings: [String]) {
  var state = NetState()
  state.phase = phase
  let source = try NetSource(text: text, file: folder("net.prototxt"))
  let graph = try Graph(
    layers: source.layers(in: state), phase: phase, paths: PathSearch(besideFile: source.file),
    catalogue: LayerCatalogue(layerTypes + recordLayerTypes), options: GraphOptions(sources: .mayBeAbsent))
  let shapes = Dictionary(graph.values.map { ($0.name, $0.shape.description) }, uniquingKeysWith: { $1 })
  return (shapes, graph.warnings.map { "\($0)".replacing(folder.path, with: "WORK") })
}

/// The values of blobs over the next passes, one after the other.
func passes(_ count: Int, of net: Net, _ blob: String) throws -> [Float] {
  try (0..<count).flatMap { _ in
    try net.forward()
    return try net.values(of: #require(net.blob(blob)))
  }
}

/// What a user is told when a net is built and run, with the folder's name left out.
func fault(_ text: String, in folder: TestFolder, passes: Int = 0, phase: Phase = .train) -> String {
  do {
    let net = try dataNet(text, in: folder, phase: phase)
    for _ in 0..<passes { try net.forward() }
    return "no fault"
  } catch {
    return "\(error)".replacing(folder.path, with: "WORK")
  }
}
