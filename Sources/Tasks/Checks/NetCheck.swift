import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// What can be told of a net without running it: shapes, sizes, tasks, and what is likely to be a mistake.
package struct NetCheck: Sendable {
  /// One layer of the phase that was looked at.
  package struct LayerRow: Sendable {
    package let name: String
    package let type: String
    package let tops: [(name: String, shape: Shape)]
    /// Values of the layer's own parameters; those that it shares with an earlier layer are not counted again.
    package let parameterCount: Int
    /// Those of them that the solver changes.
    package let learnedCount: Int
    package let multiplyAdds: Int
  }

  /// One term of the objective.
  package struct TaskRow: Sendable {
    package let name: String
    /// The layer's type; nil for a metric without a loss.
    package let loss: String?
    package let weight: Float
    /// How the loss's sum is divided; nil where that is not known.
    package let normalization: LossParameter.NormalizationMode?
    /// What is compared with the labels.
    package let scores: Shape?
    package let metrics: [String]
  }

  package let phase: Phase
  /// What the tasks of a solver can speak of.
  package let namesInNet: NamesInNet
  package let layers: [LayerRow]
  package let tasks: [TaskRow]
  package let assumptions: [ShapeAssumptions.Assumption]
  package let warnings: [Diagnostic]
  /// Why the layers end before the net does; empty when all is well.
  package let faults: [Diagnostic]
  /// Records of a batch: the first extent of the first top.
  package let batch: Int
  /// Bytes of the values of all blobs, each version of a name by itself.
  package let blobBytes: Int

  /// The names of the tasks that have a loss.
  package var learnedTasks: [String] {
    tasks.filter { $0.loss != nil }.map(\.name).reduce(into: []) { if $0.last != $1 { $0.append($1) } }
  }

  package var parameterCount: Int { layers.map(\.parameterCount).reduce(0, +) }
  package var learnedCount: Int { layers.map(\.learnedCount).reduce(0, +) }
  package var multiplyAdds: Int { layers.map(\.multiplyAdds).reduce(0, +) }

  /// - Parameters:
  ///   - given: shapes of tops, by name; see `ShapeAssumptions`.
  ///   - labels: looks up the range of the labels that a source holds; nil where it is not known.
  /// - Throws: faults of the net's phase rules, and `badArgument` when `given` does not fit the net.
  package init(
    _ source: NetSource, state: NetState, catalogue: LayerCatalogue, given: [String: Shape] = [:],
    labels: LabelLookup = .none
  ) throws {
    let placed = try source.layers(in: state)
    let names = Set(placed.flatMap(\.parameter.top))
    // A top of another phase's layers alone is no mistake.
    let otherNames = Set(source.parameter.layer.flatMap(\.top)).subtracting(names)
    let outcome = try ShapeAssumptions(
      layers: placed, phase: state.phase, paths: PathSearch(besideFile: source.file), catalogue: catalogue,
      given: given.filter { !otherNames.contains($0.key) }, declaredInputs: source.shapelessInputs)
    let graph = outcome.graph
    phase = state.phase
    assumptions = outcome.assumptions
    batch = graph.values.first.map { $0.shape.extent(0) } ?? 0
    blobBytes = graph.values.map(\.shape.count).reduce(0, +) * MemoryLayout<Float>.stride
    var sharing = ParameterSharing()
    layers = try graph.nodes.map { try NetCheck.row($0, graph, &sharing) }
    faults = (outcome.fault.map(NetCheck.diagnostics) ?? []) + sharing.faults
    namesInNet = NamesInNet(graph)
    let table = TaskTable(graph, named: source.parameter.task)
    tasks = table.tasks.flatMap { NetCheck.rows($0, graph) }
    let labelVectors = outcome.assumptions.compactMap(NetCheck.warningOfLabelVectors)
    warnings = NetCheck.folded(
      source.warnings
        + NetCheck.warnings(ofExcerpt: outcome.excerptInputs.filter { !source.shapelessInputs.contains($0) })
        + graph.warnings + labelVectors
        + NetWarnings(source, graph, table, phase: state.phase, isWhole: outcome.fault == nil).all
        + LabelWarnings(graph, labels).all)
  }

  private static func warnings(ofExcerpt inputs: [String]) -> [Diagnostic] {
    guard !inputs.isEmpty else { return [] }
    let names = inputs.map { "'\($0)'" }.joined(separator: ", ")
    return [
      Diagnostic(
        .missingBottom,
        "no layer makes \(names): the file is taken for an excerpt of a net, and \(inputs.count == 1 ? "it" : "they") for "
          + "its inputs; to run, the net needs a layer that makes \(inputs.count == 1 ? "it" : "them")",
        severity: .warning)
    ]
  }

  /// Records have one label; forks that give several read databases of their own.
  private static func warningOfLabelVectors(_ assumption: ShapeAssumptions.Assumption) -> Diagnostic? {
    guard assumption.fields.parameter.type == "Data", assumption.tops.count > 1, !assumption.isGiven else { return nil }
    let labels = assumption.tops[1]
    guard labels.shape.count > labels.shape.extent(0) else { return nil }
    return assumption.fields.fault(
      .unsupported,
      "the net needs '\(labels.name)' to be \(labels.shape), but a record has one label; several are converted with mtl "
        + "convert-multilabel, and read by a second Data layer", at: "top[1]"
    ).asWarning
  }

  /// The same warning of several layers as one, with the others' names.
  private static func folded(_ warnings: [Diagnostic]) -> [Diagnostic] {
    var others: [String: [String]] = [:]
    var first: [Diagnostic] = []
    for warning in warnings {
      let key = "\(warning.code) \(warning.layer?.type ?? "") \(warning.message)"
      if others[key] == nil {
        others[key] = []
        first.append(warning)
      } else if let name = warning.layer?.name {
        others[key]?.append("'\(name)'")
      }
    }
    return first.map { warning in
      let names = others["\(warning.code) \(warning.layer?.type ?? "") \(warning.message)"] ?? []
      guard !names.isEmpty else { return warning }
      let shown = names.prefix(5).joined(separator: ", ")
      var folded = warning
      folded.notes.append(
        Diagnostic.Note("so it is with \(shown)" + (names.count > 5 ? " and \(names.count - 5) more" : "")))
      return folded
    }
  }

  private static func diagnostics(_ error: any Error) -> [Diagnostic] {
    switch error {
    case let fault as Diagnostic: [fault]
    case let faults as DiagnosticList: faults.all
    default: [Diagnostic(.machine, "\(error)")]
    }
  }

  private static func row(_ node: Graph.Node, _ graph: Graph, _ sharing: inout ParameterSharing) throws -> LayerRow {
    let own = node.parameters.indices.filter { sharing.isOwn($0, of: node) }
    func count(_ indices: [Int]) -> Int { indices.map { node.parameters[$0].shape.count }.reduce(0, +) }
    let isRefused = (node.definition as? any RefusedLayer)?.refusal != nil
    return LayerRow(
      name: node.fields.name, type: node.fields.parameter.type,
      tops: node.tops.map { (graph.values[$0].name, graph.values[$0].shape) }, parameterCount: count(own),
      learnedCount: count(own.filter { graph.learns(parameter: $0, of: node) }),
      multiplyAdds: isRefused
        ? 0 : min(1 << 50, try node.definition.multiplyAdds(of: node.bottoms.map { graph.values[$0].shape })))
  }

  /// One for each loss, the metrics in the first.
  private static func rows(_ task: LearningTask, _ graph: Graph) -> [TaskRow] {
    let metrics = task.metrics.map { graph.values[$0].name }
    guard !task.losses.isEmpty else {
      return [TaskRow(name: task.name, loss: nil, weight: 0, normalization: nil, scores: nil, metrics: metrics)]
    }
    return task.losses.map { loss in
      let node = graph.nodes[graph.values[loss].producer]
      return TaskRow(
        name: task.name, loss: node.fields.parameter.type, weight: graph.values[loss].lossWeight,
        normalization: normalization(of: node.definition),
        scores: node.bottoms.first.map { graph.values[$0].shape }, metrics: loss == task.losses[0] ? metrics : [])
    }
  }

  /// Losses that do not say otherwise divide by the records of the batch.
  static func normalization(of loss: any Layer) -> LossParameter.NormalizationMode? {
    if let loss = loss as? any NormalizedLoss { return loss.normalizationMode }
    return loss.role == .loss && (loss as? any RefusedLayer)?.refusal == nil ? .batchSize : nil
  }
}

/// Which parameters are one and the same, by the names in `param`.
private struct ParameterSharing {
  private var owners: [String: (shape: Shape, layer: String)] = [:]
  private(set) var faults: [Diagnostic] = []

  /// Whether parameter `index` of the layer is its own, not one that an earlier layer has; notes those that do not fit.
  mutating func isOwn(_ index: Int, of node: Graph.Node) -> Bool {
    let specs = node.fields.parameter.param
    guard index < specs.count, !specs[index].name.isEmpty else { return true }
    let shape = node.parameters[index].shape
    guard let owner = owners[specs[index].name] else {
      owners[specs[index].name] = (shape, node.fields.name)
      return true
    }
    let fits = specs[index].shareMode == .permissive ? owner.shape.count == shape.count : owner.shape == shape
    if !fits {
      faults.append(
        node.fields.fault(
          .badSharing,
          "parameter '\(specs[index].name)' is \(shape) here and \(owner.shape) in layer '\(owner.layer)'",
          at: "param[\(index)]"))
    }
    return false
  }
}

extension Diagnostic {
  fileprivate var asWarning: Diagnostic {
    var copy = self
    copy.severity = .warning
    return copy
  }
}
