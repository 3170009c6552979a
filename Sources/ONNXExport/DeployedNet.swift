import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// A net cut down to what computes its predictions: inputs where data were read, without losses and metrics.
package struct DeployedNet {
  /// Layers of type Input, then the others in their order.
  package let source: NetSource
  /// The blobs that are asked for, in the order of the net.
  package let outputs: [String]

  /// - Parameters:
  ///   - graph: of the TEST phase.
  ///   - names: the blobs that are wanted; nil for the predictions: what nobody reads, or what losses and metrics read
  ///     and something learned goes into.
  /// - Throws: `badArgument` for a blob that is not there; `unsupported` for a net without predictions.
  package init(_ graph: Graph, name: String, file: String?, outputs names: [String]?) throws {
    let ends = try names.map { try DeployedNet.values(named: $0, graph) } ?? DeployedNet.predictions(graph)
    guard !ends.isEmpty else {
      throw Diagnostic(.unsupported, "the net computes nothing in the TEST phase but losses and metrics")
    }
    var layers: [(parameter: LayerParameter, places: FieldPlaces)] = []
    let needed = DeployedNet.nodes(behind: ends, graph)
    for (index, node) in graph.nodes.enumerated() where needed.contains(index) {
      if DeployedNet.isSource(node) {
        layers += DeployedNet.inputs(node, graph, needed, ends)
      } else {
        var layer = node.fields.parameter
        layer.include = []
        layer.exclude = []
        layer.lossWeight = []
        layer.blobs = []
        layers.append((layer, node.fields.places))
      }
    }
    var net = NetParameter()
    net.name = name
    net.layer = layers.map(\.parameter)
    var source = try NetSource(parameter: net, file: file)
    source.layerPlaces = layers.map(\.places)
    self.source = source
    var outputs: [String] = []
    for end in ends where !outputs.contains(graph.values[end].name) { outputs.append(graph.values[end].name) }
    self.outputs = outputs
  }

  /// Whether the node's tops come from outside the net.
  private static func isSource(_ node: Graph.Node) -> Bool { node.bottoms.isEmpty && node.definition.role == .data }

  /// An Input layer for each top that somebody reads.
  private static func inputs(
    _ node: Graph.Node, _ graph: Graph, _ needed: Set<Int>, _ ends: [Int]
  ) -> [(parameter: LayerParameter, places: FieldPlaces)] {
    let read = node.tops.filter { top in
      ends.contains(top) || graph.values[top].consumers.contains { needed.contains($0.node) }
    }
    return read.map { top in
      var layer = LayerParameter()
      layer.name = graph.values[top].name
      layer.type = "Input"
      layer.top = [graph.values[top].name]
      layer.inputParam.shape = [BlobShape.with { $0.dim = graph.values[top].shape.dims.map(Int64.init) }]
      return (layer, node.fields.places)
    }
  }

  /// The newest blob of each name.
  private static func values(named names: [String], _ graph: Graph) throws -> [Int] {
    try names.map { name in
      guard let value = graph.values.lastIndex(where: { $0.name == name }) else {
        let near = nearestName(to: name, among: Set(graph.values.map(\.name)).sorted())
        throw Diagnostic(.badArgument, "the net has no blob '\(name)'" + (near.map { "; did you mean '\($0)'?" } ?? ""))
      }
      return value
    }.sorted()
  }

  private static func predictions(_ graph: Graph) -> [Int] {
    var isLearned = [Bool](repeating: false, count: graph.values.count)
    for node in graph.nodes {
      let learned = !node.parameters.isEmpty || node.bottoms.contains { isLearned[$0] }
      for top in node.tops { isLearned[top] = learned }
    }
    func isTaught(_ node: Int) -> Bool { [.loss, .metric].contains(graph.nodes[node].definition.role) }
    return graph.values.indices.filter { value in
      let node = graph.values[value].producer
      let readers = graph.values[value].consumers
      guard !isTaught(node), !isSource(graph.nodes[node]) else { return false }
      return readers.isEmpty || readers.allSatisfy { isTaught($0.node) } && isLearned[value]
    }
  }

  private static func nodes(behind ends: [Int], _ graph: Graph) -> Set<Int> {
    var found: Set<Int> = []
    var open = ends.map { graph.values[$0].producer }
    while let node = open.popLast() {
      guard found.insert(node).inserted else { continue }
      open += graph.nodes[node].bottoms.map { graph.values[$0].producer }
    }
    return found
  }
}
