import CaffeSchema
import Diagnostics
import Tensors

/// A net's parameters: which layer has which, and which are one and the same.
package struct ParameterTable {
  /// A parameter with the layer that owns it: the first that names it.
  package struct Entry {
    /// Index of the layer.
    package let layer: Int
    package let layerName: String
    /// Position among the layer's parameters.
    package let index: Int
    /// `weights`, `bias`, …
    package let name: String
    package let parameter: Parameter
    /// Whether it belongs to idle layers alone: it stays as it is.
    package var isIdle = false
  }

  /// Per layer, in the layer's order.
  package private(set) var byLayer: [[Parameter]] = []
  /// Each parameter once, in the order of the net: the order of solver states in the format.
  package private(set) var unique: [Entry] = []
  private var named: [String: (entry: Entry, fields: LayerFields)] = [:]

  /// Makes the parameters of `graph`, filled with `seed`, or takes those of `sharing` for layers of the same name.
  ///
  /// - Throws: `badSharing` when parameters of one name differ in shape or multipliers, or a shared layer in shape.
  init(_ graph: Graph, sharing: ParameterTable?, seed: UInt64) throws {
    for (layer, node) in graph.nodes.enumerated() {
      let given = sharing?.parameters(ofLayer: node.fields.name)
      if let given { try ParameterTable.check(given, fit: node) }
      var own: [Parameter] = []
      for index in node.parameters.indices {
        own.append(try add(index, of: node, layer: layer, existing: given?[index], seed: seed))
      }
      byLayer.append(own)
    }
    let used = Set(
      graph.nodes.indices.filter { !graph.nodes[$0].isIdle }.flatMap { byLayer[$0].map(ObjectIdentifier.init) })
    for index in unique.indices { unique[index].isIdle = !used.contains(ObjectIdentifier(unique[index].parameter)) }
  }

  private func parameters(ofLayer name: String) -> [Parameter]? {
    unique.first { $0.layerName == name }.map { byLayer[$0.layer] }
  }

  private static func check(_ given: [Parameter], fit node: Graph.Node) throws {
    let wanted = node.parameters.map(\.shape)
    guard given.map(\.shape) != wanted else { return }
    throw node.fields.fault(
      .badSharing,
      "the layer of this name in the training net has parameters \(list(given.map(\.shape))), here they are \(list(wanted))"
    )
  }

  private static func list(_ shapes: [Shape]) -> String {
    "(" + shapes.map(\.description).joined(separator: ", ") + ")"
  }

  private mutating func add(
    _ index: Int, of node: Graph.Node, layer: Int, existing: Parameter?, seed: UInt64
  ) throws -> Parameter {
    let definition = node.parameters[index]
    let specs = node.fields.parameter.param
    let spec = index < specs.count ? specs[index] : ParamSpec()
    if !spec.name.isEmpty, let owner = named[spec.name] {
      try checkSharing(definition, spec, index, node.fields, owner: owner)
      return owner.entry.parameter
    }
    let parameter = existing ?? Parameter(shape: definition.shape)
    if existing == nil {
      let isFrozen = definition.isStatistic || node.fields.parameter.freezeLearning
      parameter.learningRateMultiplier = isFrozen ? 0 : spec.hasLrMult ? spec.lrMult : 1
      parameter.decayMultiplier = spec.hasDecayMult ? spec.decayMult : 1
      let stream = RandomStream(seed: seed, RandomStream.part(node.fields.name), UInt64(index))
      do {
        try Filler(definition.filler).fill(parameter, stream)
      } catch let fault as Diagnostic {
        throw fault.within(layer: node.fields.identity, at: node.fields.location())
      }
    }
    let entry = Entry(
      layer: layer, layerName: node.fields.name, index: index, name: definition.name, parameter: parameter)
    unique.append(entry)
    if !spec.name.isEmpty { named[spec.name] = (entry, node.fields) }
    return parameter
  }

  private func checkSharing(
    _ definition: ParameterDefinition, _ spec: ParamSpec, _ index: Int, _ fields: LayerFields,
    owner: (entry: Entry, fields: LayerFields)
  ) throws {
    let shared = owner.entry.parameter
    let note = Diagnostic.Note(
      "'\(spec.name)' is first used by layer '\(owner.entry.layerName)'", at: owner.fields.location())
    let fits = spec.shareMode == .permissive ? shared.count == definition.shape.count : shared.shape == definition.shape
    guard fits else {
      throw fields.fault(
        .badSharing,
        "parameter '\(spec.name)' is \(definition.shape) here and \(shared.shape) in layer '\(owner.entry.layerName)'",
        at: "param[\(index)]", notes: [note])
    }
    for (given, value, field, known) in [
      (spec.hasLrMult, spec.lrMult, "lr_mult", shared.learningRateMultiplier),
      (spec.hasDecayMult, spec.decayMult, "decay_mult", shared.decayMultiplier),
    ] where given && value != known {
      throw fields.fault(
        .badSharing,
        "\(field) of the shared parameter '\(spec.name)' is \(value) here and \(known) where it was first used",
        at: "param[\(index)].\(field)", notes: [note])
    }
  }
}
