import CaffeSchema
import Compute
import Diagnostics
import Foundation
import Nets
import Records
import Tensors

/// A net that looks at pictures, and tells what each of its outputs says of them.
struct Classifier {
  struct Score: Encodable {
    /// Position among the output's values.
    var index: Int
    /// The name of that class, where names are given.
    var label: String?
    var score: Float
  }

  /// What one output says of one picture.
  struct Answer: Encodable {
    var task: String
    /// The highest first.
    var top: [Score]
  }

  private let net: Net
  private let input: Blob
  private let preparation: ImagePreparation
  /// By the output's name; `""` for all of fitting length.
  private let labels: [String: [String]]

  init(
    _ source: NetSource, weights: NetParameter, origin: String, engine: any Engine, mean: String?, scale: Float?,
    labels: [String: [String]]
  ) throws {
    net = try Net(source, engine: engine, catalogue: EngineOptions.catalogue, options: NetOptions(phase: .test))
    let report = try net.load(weights, from: origin)
    if let layer = report.missing.first {
      throw Diagnostic(.badWeights, "'\(origin)' has no weights for layer '\(layer)'; is it of another net?")
    }
    let inputs = net.graph.nodes.filter { $0.fields.parameter.type == "Input" }.flatMap(\.tops)
    guard inputs.count == 1, net.graph.nodes.allSatisfy({ !$0.bottoms.isEmpty || $0.fields.parameter.type == "Input" })
    else {
      throw Diagnostic(
        .badArgument,
        "pictures go into a net with one Input layer with one top (a 'deploy' net), but this one has "
          + (inputs.isEmpty ? "none" : "\(inputs.count) inputs, or reads data of its own"))
    }
    input = net.blob(ofValue: inputs[0])
    preparation = try ImagePreparation(input: input.shape, mean: mean, scale: scale, weights: weights)
    self.labels = labels
    let outputs = Set(net.outputs.map(\.name))
    if let unknown = labels.keys.first(where: { !$0.isEmpty && !outputs.contains($0) }) {
      let near = nearestName(to: unknown, among: outputs.sorted())
      throw Diagnostic(
        .badArgument, "the net has no output '\(unknown)'" + (near.map { "; did you mean '\($0)'?" } ?? ""))
    }
  }

  /// As many pictures as the input takes at once.
  var batch: Int { input.shape[0] }

  /// - Parameter top: how many scores of each output.
  func answers(for paths: [String], top: Int) throws -> [[Answer]] {
    let width = preparation.shape.count
    for (slot, path) in paths.enumerated() {
      let values = preparation.values(of: try Classifier.image(path, channels: preparation.shape[0]))
      for i in 0..<width { input.values[slot * width + i] = values[i] }
    }
    try net.forward()
    let outputs = try net.outputs.map { (name: $0.name, shape: $0.shape, values: try net.values(of: $0)) }
    return paths.indices.map { slot in
      outputs.filter { $0.shape.extent(0) == batch }.map { output in
        let width = output.values.count / batch
        let values = output.values[slot * width..<(slot + 1) * width]
        return answer(output.name, Array(values), top)
      }
    }
  }

  private func answer(_ name: String, _ values: [Float], _ top: Int) -> Answer {
    let names = labels[name] ?? labels[""].flatMap { $0.count == values.count ? $0 : nil }
    // Equal scores in the order of the classes, so that the answer is always the same.
    let order = values.indices.sorted { values[$0] == values[$1] ? $0 < $1 : values[$0] > values[$1] }
    return Answer(
      task: name,
      top: order.prefix(top).map { index in
        Score(
          index: index, label: names.flatMap { index < $0.count ? $0[index] : nil }, score: values[index])
      })
  }

  private static func image(_ path: String, channels: Int) throws -> Image {
    guard let bytes = FileManager.default.contents(atPath: path) else {
      throw Diagnostic(.badImage, "cannot read image '\(path)'")
    }
    do {
      return try Image(decoding: Array(bytes), as: channels == 1 ? .gray : .color)
    } catch let fault as Diagnostic {
      throw Diagnostic(fault.code, "cannot read image '\(path)': \(fault.message)")
    }
  }
}
