import CaffeSchema
import Diagnostics
import Foundation
import Nets
import ONNXMessages
import Tensors

/// A net as an ONNX model: its layers as operators, its parameters as constants.
///
/// Inputs and outputs have the names of their blobs. Blobs that several layers write in place are several values there:
/// the last has the blob's name, the others that of their layer behind it.
package struct ONNXModel {
  package struct End: Sendable, Equatable {
    package let name: String
    package let shape: Shape
  }

  package let inputs: [End]
  package let outputs: [End]
  /// The layer that needs the batch to be of the net's size; nil where it may be of any size.
  package let layerThatFixesBatch: Diagnostic.Layer?
  let message: Onnx_ModelProto

  /// - Parameters:
  ///   - net: as `DeployedNet` makes it, with weights.
  ///   - outputs: the names of blobs.
  /// - Throws: `unsupported`, with the layer that ONNX cannot say and the reason.
  package init(_ net: Net, outputs names: [String]) throws {
    let graph = net.graph
    let valueNames = ONNXModel.names(graph)
    let fixer = ONNXModel.layerThatFixesBatch(graph)
    let batch = fixer == nil ? "batch" : nil
    let made = ONNXGraph(name: net.name.isEmpty ? "net" : net.name, names: valueNames)
    var inputs: [End] = []
    for (index, node) in graph.nodes.enumerated() {
      guard node.fields.parameter.type != "Input" else {
        inputs += node.tops.map { End(name: valueNames[$0], shape: graph.values[$0].shape) }
        continue
      }
      func value(_ index: Int) -> LayerTranslation.Value {
        .init(name: valueNames[index], shape: graph.values[index].shape)
      }
      let layer = LayerTranslation(
        fields: node.fields, bottoms: node.bottoms.map(value), tops: node.tops.map(value),
        parameters: Array(zip(node.parameters, net.parameterTable.byLayer[index])), graph: made)
      guard let definition = node.definition as? any ONNXLayer else {
        throw layer.refusal("there is no operator for \(node.fields.parameter.type); name blobs before it with --blobs")
      }
      if let refused = (definition as? any RefusedLayer)?.refusal { throw refused }
      try definition.translate(layer)
    }
    let outputs = names.compactMap { name in
      graph.values.lastIndex { $0.name == name }.map { End(name: valueNames[$0], shape: graph.values[$0].shape) }
    }
    for input in inputs { made.addInput(input.name, input.shape, batch: batch) }
    for output in outputs { made.addOutput(output.name, output.shape, batch: batch) }
    self.inputs = inputs
    self.outputs = outputs
    layerThatFixesBatch = fixer
    var model = Onnx_ModelProto()
    model.irVersion = ONNXGraph.formVersion
    model.producerName = "mtl"
    model.opsetImport = [Onnx_OperatorSetIdProto.with { ($0.domain, $0.version) = ("", ONNXGraph.opset) }]
    model.graph = made.message
    message = model
  }

  /// The file.
  ///
  /// - Throws: `unwritableFile` for more than 2 GiB, which the format's messages do not hold.
  package func bytes(for path: String) throws -> Data {
    do {
      return try message.serializedBytes()
    } catch {
      throw Diagnostic(.unwritableFile, "cannot write '\(path)': an ONNX file holds at most 2 GiB")
    }
  }

  /// A name for each value, none twice: inputs have their blobs' for callers, and so has the last value of each blob.
  private static func names(_ graph: Graph) -> [String] {
    var names: [String] = []
    for (index, value) in graph.values.enumerated() {
      let isInput = graph.nodes[value.producer].fields.parameter.type == "Input"
      let versions = graph.values.indices.filter { graph.values[$0].name == value.name }
      let hasInput = versions.contains { graph.nodes[graph.values[$0].producer].fields.parameter.type == "Input" }
      let isNewest = versions.last == index && !hasInput
      let layer = graph.nodes[value.producer].fields.name
      names.append(isInput || isNewest ? value.name : "\(value.name)@\(layer)")
    }
    return names
  }

  /// Records go through the net one by one, unless a layer mixes them.
  private static func layerThatFixesBatch(_ graph: Graph) -> Diagnostic.Layer? {
    var isBatch = [Bool](repeating: false, count: graph.values.count)
    var batch: Int?
    for node in graph.nodes {
      if node.fields.parameter.type == "Input" {
        for top in node.tops {
          let shape = graph.values[top].shape
          guard shape.rank > 0, batch ?? shape[0] == shape[0] else { return node.fields.identity }
          batch = shape[0]
          isBatch[top] = true
        }
        continue
      }
      let read = node.bottoms.indices.filter { isBatch[node.bottoms[$0]] }
      if read.isEmpty { continue }
      guard let rows = node.definition.rowwise(node.bottoms.map { graph.values[$0].shape }, along: 0),
        read.allSatisfy({ rows.bottoms?.contains($0) ?? true })
      else { return node.fields.identity }
      for (position, top) in node.tops.enumerated() where rows.tops?.contains(position) ?? true {
        isBatch[top] = true
      }
    }
    return nil
  }
}
