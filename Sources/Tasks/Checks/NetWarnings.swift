import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// What a net says that is allowed and most likely not meant.
struct NetWarnings {
  private let source: NetSource
  private let graph: Graph
  private let table: TaskTable
  private let phase: Phase
  /// Whether the graph holds all layers; if not, nothing can be said of what reads what.
  private let isWhole: Bool

  init(_ source: NetSource, _ graph: Graph, _ table: TaskTable, phase: Phase, isWhole: Bool) {
    self.source = source
    self.graph = graph
    self.table = table
    self.phase = phase
    self.isWhole = isWhole
  }

  var all: [Diagnostic] {
    refusals + (isWhole ? weightSum : []) + sumsAgainstMeans + batchNorms + sources
      + (isWhole && phase == .train ? unusedTops : [])
  }

  private func warning(_ node: Graph.Node, _ message: String, at field: String = "") -> Diagnostic {
    Diagnostic(
      .badParameter, message, severity: .warning, layer: node.fields.identity, at: node.fields.location(field))
  }

  private var losses: [(value: Graph.Value, node: Graph.Node)] {
    table.tasks.flatMap(\.losses).map { (graph.values[$0], graph.nodes[graph.values[$0].producer]) }
  }

  // MARK: Rules

  private var refusals: [Diagnostic] {
    graph.nodes.compactMap { node in
      guard var refusal = (node.definition as? any RefusedLayer)?.refusal else { return nil }
      refusal.severity = .warning
      return refusal
    }
  }

  /// The gradients of all tasks add up in the layers that they share.
  private var weightSum: [Diagnostic] {
    guard losses.count > 1 else { return [] }
    let sum = losses.map(\.value.lossWeight).reduce(0, +)
    guard sum < 0.8 || sum > 1.25 else { return [] }
    return [
      Diagnostic(
        .badParameter,
        "the loss weights of the \(losses.count) tasks sum to \(short(sum)): in the layers that they share this acts like "
          + "\(short(sum)) times the learning rate; weights that sum to 1 keep base_lr what it is for one task",
        severity: .warning, at: losses.last.flatMap { $0.node.fields.location("loss_weight") })
    ]
  }

  /// Losses that sum over a record's values, beside losses that are means.
  private var sumsAgainstMeans: [Diagnostic] {
    let isMean = { (node: Graph.Node) in [.valid, .full].contains(NetCheck.normalization(of: node.definition)) }
    guard losses.contains(where: { isMean($0.node) || width($0.node) == 1 }) else { return [] }
    return losses.compactMap { value, node in
      let type = node.fields.parameter.type
      guard ["SigmoidCrossEntropyLoss", "EuclideanLoss", "L1Loss"].contains(type) else { return nil }
      guard NetCheck.normalization(of: node.definition) == .batchSize, width(node) > 1 else { return nil }
      return warning(
        node,
        "is a sum over the \(width(node)) values of a record, while other losses of this net are means: with "
          + "loss_weight \(short(value.lossWeight)) it counts like \(width(node)) tasks; "
          + "loss_weight \(short(value.lossWeight / Float(width(node)))) makes it count like one")
    }
  }

  /// Values of a record that a loss compares.
  private func width(_ loss: Graph.Node) -> Int {
    guard let scores = loss.bottoms.first.map({ graph.values[$0].shape }), scores.extent(0) > 0 else { return 1 }
    return scores.count / scores.extent(0)
  }

  private var batchNorms: [Diagnostic] {
    graph.nodes.flatMap { node -> [Diagnostic] in
      guard node.fields.parameter.type == "BatchNorm" else { return [] }
      var found: [Diagnostic] = []
      let specs = node.fields.parameter.param
      if let index = specs.firstIndex(where: { ($0.hasLrMult ? $0.lrMult : 1) != 0 }) {
        found.append(
          warning(
            node,
            "the parameters are running statistics, which no solver may change: write lr_mult: 0 for each, or no param",
            at: "param[\(index)]"))
      }
      let param = node.fields.parameter.batchNormParam
      if phase == .test, param.hasUseGlobalStats, !param.useGlobalStats {
        found.append(
          warning(
            node,
            "use_global_stats: false in TEST takes mean and variance from the test batch, so a record's result depends "
              + "on its neighbours; leave it out",
            at: "batch_norm_param.use_global_stats"))
      }
      return found
    }
  }

  /// Training on validation data, testing on training data.
  private var sources: [Diagnostic] {
    let other: Phase = phase == .train ? .test : .train
    var otherState = NetState()
    otherState.phase = other
    let others = (try? source.layers(in: otherState)) ?? []
    let othersPaths = others.compactMap { NetWarnings.sourceField($0.parameter)?.path }
    return graph.nodes.flatMap { node -> [Diagnostic] in
      guard let (field, path) = NetWarnings.sourceField(node.fields.parameter), !path.isEmpty else { return [] }
      let words = Set(path.lowercased().split { !$0.isLetter }.map(String.init))
      let saysTest = !words.isDisjoint(with: ["val", "valid", "validation", "test", "testing"])
      let saysTrain = !words.isDisjoint(with: ["train", "training", "trainval"])
      if phase == .train, saysTest, !saysTrain {
        return [warning(node, "TRAIN data come from '\(path)', which looks like validation data", at: field)]
      }
      if phase == .test, saysTrain, !saysTest {
        return [warning(node, "TEST data come from '\(path)', which looks like training data", at: field)]
      }
      // Told once, with the training net.
      let isExplicit = node.fields.parameter.include.contains { $0.hasPhase }
      if phase == .train, isExplicit, othersPaths.contains(path) {
        return [warning(node, "TRAIN and TEST read the same data, '\(path)'", at: field)]
      }
      return []
    }
  }

  /// Where a data layer reads, and the field that says so.
  static func sourceField(_ layer: LayerParameter) -> (field: String, path: String)? {
    switch layer.type {
    case "Data", "AnnotatedData": ("data_param.source", layer.dataParam.source)
    case "ImageData": ("image_data_param.source", layer.imageDataParam.source)
    case "HDF5Data": ("hdf5_data_param.source", layer.hdf5DataParam.source)
    case "WindowData": ("window_data_param.source", layer.windowDataParam.source)
    default: nil
    }
  }

  // MARK: What leads nowhere

  /// Tops that no layer reads and no loss or metric makes, with the layers that work for them alone.
  private var unusedTops: [Diagnostic] {
    guard !losses.isEmpty else { return [] }
    var isUseful = [Bool](repeating: false, count: graph.nodes.count)
    for (index, node) in graph.nodes.enumerated().reversed() {
      let hasEffect =
        node.definition.role == .loss || node.definition.role == .metric || node.tops.isEmpty
        || node.tops.contains { graph.values[$0].lossWeight != 0 }
      let isRead = node.tops.contains { top in graph.values[top].consumers.contains { isUseful[$0.node] } }
      isUseful[index] = hasEffect || isRead
    }
    return graph.outputs.compactMap { output in
      let node = graph.nodes[graph.values[output].producer]
      guard !hasUse(output, node) else { return nil }
      let name = graph.values[output].name
      guard !isUseful[graph.values[output].producer] else {
        return warning(node, "nobody reads top '\(name)'; a Silence layer would say that this is meant")
      }
      let dead = deadLayers(behind: output, isUseful).map { "'\($0)'" }
      let rest = dead.count > 1 ? "; \(dead.count) layers work for it alone: \(dead.joined(separator: ", "))" : ""
      return warning(node, "nobody reads top '\(name)', and no loss depends on this layer\(rest)")
    }
  }

  private func hasUse(_ output: Int, _ node: Graph.Node) -> Bool {
    let value = graph.values[output]
    if value.lossWeight != 0 || node.definition.role == .metric { return true }
    // A second top of a loss, such as probabilities, is there to be printed.
    return node.definition.role == .loss
  }

  private func deadLayers(behind output: Int, _ isUseful: [Bool]) -> [String] {
    var found: Set<Int> = []
    var open = [graph.values[output].producer]
    while let index = open.popLast() {
      guard !isUseful[index], found.insert(index).inserted else { continue }
      open += graph.nodes[index].bottoms.map { graph.values[$0].producer }
    }
    return found.sorted().map { graph.nodes[$0].fields.name }
  }

  /// At most four significant digits.
  private func short(_ value: Float) -> String {
    let rounded = (value * 1e4).rounded() / 1e4
    return rounded == rounded.rounded() && abs(rounded) < 1e6 ? String(Int(rounded)) : String(rounded)
  }
}
