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
  _ text: String, in folder: TestFolder, seed: UInt64 = 1, phase: Phase = .train
) throws -> Net {
  var options = NetOptions(phase: phase)
  options.seed = seed
  options.keepsEverything = true
  return try Net(
    NetSource(text: text, file: folder("net.prototxt")), engine: ReferenceEngine(),
    catalogue: LayerCatalogue(layerTypes + recordLayerTypes), options: options)
}

/// The shapes that are told of a net whose sources need not be there, by name of blob, and whether the fields tell all.
func inferred(
  _ text: String, in folder: TestFolder, phase: Phase = .train
) throws -> (shapes: [String: String], areKnown: Bool) {
  var state = NetState()
  state.phase = phase
  let source = try NetSource(text: text, file: folder("net.prototxt"))
  let outcome = try ShapeAssumptions(
    layers: source.layers(in: state), phase: phase, paths: PathSearch(besideFile: source.file),
    catalogue: LayerCatalogue(layerTypes + recordLayerTypes))
  if let fault = outcome.fault { throw fault }
  let shapes = Dictionary(outcome.graph.values.map { ($0.name, $0.shape.description) }, uniquingKeysWith: { $1 })
  return (shapes, outcome.assumptions.allSatisfy(\.isKnown))
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
