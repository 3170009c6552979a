import CaffeSchema
import Diagnostics
import Tensors

/// A net's layers and values before they are bound: who makes what, of which shape, and who wants a gradient.
///
/// Names are resolved to values once. A top that reuses its bottom's name ('in place') makes a new value, so the graph
/// has no aliases; the memory planner decides which values share memory.
package struct Graph {
  /// One version of a named blob.
  package struct Value {
    package var name: String
    package var shape: Shape
    package var producer: Int
    package var top: Int
    package var consumers: [(node: Int, bottom: Int)] = []
    /// Whether a gradient is computed for it.
    package var hasGradient = false
    /// What its sum counts in the objective; 0 for all but losses.
    package var lossWeight: Float = 0
    /// Where each pass decides how many rows it has.
    package var rows: VaryingRows?
    /// Whether nothing is done with it: see `GraphOptions.idle`.
    package var isIdle = false
  }

  /// A layer with its bottoms and tops as indices into `values`.
  package struct Node {
    package var definition: any Layer
    package var fields: LayerFields
    package var bottoms: [Int]
    package var tops: [Int]
    package var parameters: [ParameterDefinition]
    /// Per bottom: whether backward computes its gradient.
    package var bottomWantsGradient: [Bool]
    package var runsBackward = false
    /// Whether it leads to nothing but losses and metrics that are out, and is not run.
    package var isIdle = false
  }

  package private(set) var nodes: [Node] = []
  package private(set) var values: [Value] = []
  /// What layers want the user to know, in the order of the net.
  private var layerWarnings: [Diagnostic] = []
  /// The newest value of each name.
  private var current: [String: Int] = [:]
  /// Per node: what the prototxt says of its bottoms.
  private var options: GraphOptions

  /// The losses and metrics that are out.
  package var idle: Set<String> { options.idle }

  /// What ended the building of a graph.
  package struct Fault {
    /// Index of the layer that could not be added.
    package let layer: Int
    package let error: any Error
  }

  /// - Throws: the first fault of the net, as a `Diagnostic` with its place.
  package init(
    layers: [(parameter: LayerParameter, places: FieldPlaces)], phase: Phase, paths: PathSearch,
    catalogue: LayerCatalogue, options: GraphOptions
  ) throws {
    let fault: Fault?
    (self, fault) = Graph.partial(layers: layers, phase: phase, paths: paths, catalogue: catalogue, options: options)
    if let fault { throw fault.error }
  }

  /// As many of the layers as can be added, in order, and the fault that ended it.
  package static func partial(
    layers: [(parameter: LayerParameter, places: FieldPlaces)], phase: Phase, paths: PathSearch,
    catalogue: LayerCatalogue, options: GraphOptions
  ) -> (graph: Graph, fault: Fault?) {
    var graph = Graph(options: options)
    let parameters = layers.map(\.parameter)
    for (index, layer) in layers.enumerated() {
      let fields = LayerFields(parameter: layer.parameter, places: layer.places, phase: phase, paths: paths)
      do {
        try graph.add(fields, at: index, of: parameters, catalogue)
      } catch {
        graph.markIdle()
        graph.findGradients()
        return (graph, Fault(layer: index, error: error))
      }
    }
    graph.markIdle()
    graph.findGradients()
    return (graph, nil)
  }

  private init(options: GraphOptions) { self.options = options }

  /// Values that no layer reads, in the order in which Caffe lists net outputs: by name.
  package var outputs: [Int] {
    values.indices.filter { values[$0].consumers.isEmpty && !values[$0].isIdle }.sorted {
      values[$0].name < values[$1].name
    }
  }

  // MARK: Names and shapes

  private mutating func add(
    _ fields: LayerFields, at index: Int, of layers: [LayerParameter], _ catalogue: LayerCatalogue
  ) throws {
    let hasGivenTops = options.givenTops[index] != nil
    var definition = try catalogue.define(fields, hasGivenTops: hasGivenTops)
    let bottoms = try fields.parameter.bottom.indices.map { try resolve(bottom: $0, of: fields, at: index, layers) }
    let shapes: LayerShapes
    do {
      shapes =
        try options.givenTops[index].map { LayerShapes(tops: $0) }
        ?? definition.shapes(of: bottoms.map { values[$0].shape })
    } catch let fault as Diagnostic {
      let made = bottoms.map { value in
        Diagnostic.Note(
          "bottom '\(values[value].name)' is \(values[value].shape), produced by '\(name(values[value].producer))'",
          at: nodes[values[value].producer].fields.location())
      }
      var placed = fault.within(layer: fields.identity, at: fields.location())
      if placed.code == .badShape, placed.notes.isEmpty { placed.notes = made }
      throw placed
    }
    try checkSizes(shapes, fields)
    try checkLossWeights(fields, definition, tops: shapes.tops.count)
    layerWarnings += shapes.warnings.map { $0.within(layer: fields.identity, at: fields.location()) }
    var rows = [VaryingRows?](repeating: nil, count: shapes.tops.count)
    do {
      rows = try varyingRows(of: fields, definition, bottoms, shapes, at: index)
    } catch let fault as Diagnostic where fault.code == .unsupported && hasGivenTops {
      definition = UnknownLayer(fields, fault, role: definition.role)
    }
    for (position, bottom) in bottoms.enumerated() { values[bottom].consumers.append((index, position)) }
    var node = Node(
      definition: definition, fields: fields, bottoms: bottoms, tops: [], parameters: shapes.parameters,
      bottomWantsGradient: bottoms.map { _ in false })
    for (top, shape) in shapes.tops.enumerated() {
      node.tops.append(try makeTop(top, shape, of: fields, definition, at: index))
      values[node.tops[top]].rows = rows[top]
    }
    nodes.append(node)
  }

  private func name(_ node: Int) -> String { nodes[node].fields.name }

  private func resolve(bottom: Int, of fields: LayerFields, at index: Int, _ layers: [LayerParameter]) throws -> Int {
    let name = fields.parameter.bottom[bottom]
    if let value = current[name] { return value }
    let place = "bottom[\(bottom)]"
    if let later = layers.indices.first(where: { $0 >= index && layers[$0].top.contains(name) }) {
      if later == index {
        throw fields.fault(.cycle, "bottom '\(name)' is its own top; nothing before it makes '\(name)'", at: place)
      }
      if let path = pathBack(from: later, to: index, layers) {
        throw fields.fault(
          .cycle, "cycle: '\(name)' is made by a layer that needs this one: \(path.joined(separator: " -> "))",
          at: place)
      }
      throw fields.fault(
        .missingBottom,
        "bottom '\(name)' is produced only later, by layer '\(layers[later].name)'; move that layer before this one",
        at: place)
    }
    let meant = nearestName(to: name, among: current.keys).map { "; did you mean '\($0)'?" } ?? ""
    let known = current.keys.sorted()
    let shown = known.prefix(20).joined(separator: ", ") + (known.count > 20 ? ", … (\(known.count) in all)" : "")
    throw fields.fault(
      .missingBottom, "bottom '\(name)' is not produced by any layer\(meant)", at: place,
      notes: [.init(known.isEmpty ? "no blobs exist here yet" : "blobs that exist here: \(shown)")])
  }

  /// The layers on a way from layer `target`'s tops to the bottoms of layer `start`, or nil when there is none.
  private func pathBack(from start: Int, to target: Int, _ layers: [LayerParameter]) -> [String]? {
    var cameFrom: [Int: Int] = [:]
    var open = [start]
    while let layer = open.popLast() {
      if layer == target {
        var path = [layers[target].name]
        var step = target
        while step != start, let next = cameFrom[step] {
          path.append(layers[next].name)
          step = next
        }
        return path + [layers[target].name]
      }
      for bottom in layers[layer].bottom {
        for producer in layers.indices where layers[producer].top.contains(bottom) {
          if producer != layer, producer != start, cameFrom[producer] == nil {
            cameFrom[producer] = layer
            open.append(producer)
          }
        }
      }
    }
    return nil
  }

  private mutating func makeTop(
    _ top: Int, _ shape: Shape, of fields: LayerFields, _ definition: any Layer, at index: Int
  ) throws -> Int {
    let written = fields.parameter.top
    // Anonymous tops get a name that no prototxt can collide with.
    let name = top < written.count ? written[top] : "\(fields.name) (top \(top))"
    let isInPlace = top < fields.parameter.bottom.count && fields.parameter.bottom[top] == name
    if let taken = current[name], !isInPlace {
      let producer = nodes.indices.contains(values[taken].producer) ? nodes[values[taken].producer].fields : fields
      throw fields.fault(
        .duplicateTop, "top '\(name)' is already produced by layer '\(producer.name)'; give it another name",
        at: "top[\(top)]", notes: [.init("'\(name)' is produced", at: producer.location())])
    }
    let weights = fields.parameter.lossWeight
    var value = Value(name: name, shape: shape, producer: index, top: top)
    value.lossWeight = top < weights.count ? weights[top] : definition.role == .loss && top == 0 ? 1 : 0
    values.append(value)
    current[name] = values.count - 1
    return values.count - 1
  }

  /// Sizes beyond what a blob may have are mostly a mistake in a field, and no memory would hold them.
  private func checkSizes(_ shapes: LayerShapes, _ fields: LayerFields) throws {
    let tops = zip(shapes.tops, fields.parameter.top).map { (shape: $0, name: "top '\($1)'", most: Shape.mostValues) }
    // Behind guessed shapes, parameters may come out a little too large in a net that is sound.
    let parameters = shapes.parameters.map {
      (shape: $0.shape, name: "its parameter '\($0.name)'", most: 2 * Shape.mostValues)
    }
    for blob in tops + parameters where blob.shape.count > blob.most {
      throw fields.fault(
        .badShape, "\(blob.name) would be \(blob.shape), more than the \(blob.most) values that it may have")
    }
  }

  private func checkLossWeights(_ fields: LayerFields, _ definition: any Layer, tops: Int) throws {
    let weights = fields.parameter.lossWeight
    guard weights.isEmpty || weights.count == fields.parameter.top.count || weights.count == tops else {
      throw fields.fault(
        .badParameter, "\(weights.count) loss_weight values are given for \(tops) tops; give one per top",
        at: "loss_weight[0]")
    }
    if let index = weights.firstIndex(where: { !$0.isFinite }) {
      throw fields.fault(.badParameter, "loss_weight \(weights[index]) is not a number", at: "loss_weight[\(index)]")
    }
  }

  /// What layers want the user to know, in the order of the net; then the blocks of fields that layers are given and do
  /// not read, each once for a type of layer. Looked for when asked, since that takes longer than all else here.
  package var warnings: [Diagnostic] {
    var warnings = layerWarnings
    var told: Set<String> = []
    for node in nodes {
      let type = type(of: node.definition)
      guard let read = type.parameterFields else { continue }
      for given in givenFields(of: node.fields.parameter) where given.isParameterMessage && !read.contains(given.name) {
        let message = "\(given.name) has no effect: a \(type.type) layer does not read it"
        guard told.insert(message).inserted else { continue }
        warnings.append(
          Diagnostic(
            .noEffect, message, severity: .warning, layer: node.fields.identity, at: node.fields.location(given.name)))
      }
    }
    return warnings
  }

  // MARK: Losses that are out

  /// Takes the layers that lead to nothing but losses and metrics that are out from the net's work.
  private mutating func markIdle() {
    guard !options.idle.isEmpty else { return }
    for index in nodes.indices.reversed() where isIdle(nodes[index]) {
      nodes[index].isIdle = true
      for top in nodes[index].tops {
        values[top].isIdle = true
        values[top].lossWeight = 0
      }
      for bottom in nodes[index].bottoms {
        values[bottom].consumers.removeAll { $0.node == index }
        if values[bottom].consumers.isEmpty { values[bottom].isIdle = true }
      }
    }
  }

  /// Asked of the layers from the last one back.
  private func isIdle(_ node: Node) -> Bool {
    let ends = node.tops.contains { options.idle.contains(values[$0].name) }
    return !node.tops.isEmpty
      && node.tops.allSatisfy { values[$0].consumers.isEmpty && (ends || values[$0].isIdle) }
  }

  // MARK: Gradients

  /// A value has a gradient when something before it learns (or gradients are forced) and a loss depends on it.
  private mutating func findGradients() {
    var mayNeed = [Bool](repeating: false, count: values.count)
    for index in nodes.indices {
      let learns = learnsParameters(nodes[index])
      let reached = nodes[index].bottoms.enumerated().contains { mayNeed[$1] && passes($0, nodes[index]) }
      for top in nodes[index].tops {
        mayNeed[top] = learns || reached || (options.forceBackward && isSource(nodes[index]))
      }
    }
    var underLoss = [Bool](repeating: false, count: values.count)
    for value in values.indices where values[value].lossWeight != 0 { underLoss[value] = true }
    if options.seedsOutputs { for value in outputs { underLoss[value] = true } }
    for index in nodes.indices.reversed() where nodes[index].tops.contains(where: { underLoss[$0] }) {
      for (position, bottom) in nodes[index].bottoms.enumerated() where passes(position, nodes[index]) {
        underLoss[bottom] = true
      }
    }
    for value in values.indices { values[value].hasGradient = mayNeed[value] && underLoss[value] }
    for index in nodes.indices {
      let active = nodes[index].tops.contains { values[$0].hasGradient }
      guard active else { continue }
      for (position, bottom) in nodes[index].bottoms.enumerated() {
        nodes[index].bottomWantsGradient[position] = values[bottom].hasGradient && passes(position, nodes[index])
      }
      nodes[index].runsBackward = nodes[index].bottomWantsGradient.contains(true) || learnsParameters(nodes[index])
    }
  }

  private func isSource(_ node: Node) -> Bool { node.bottoms.isEmpty && node.definition.role == .data }

  /// Whether a gradient can go through bottom `position`.
  private func passes(_ position: Int, _ node: Node) -> Bool {
    let written = node.fields.parameter.propagateDown
    // As in Caffe, forcing gradients overrules it.
    if position < written.count, !written[position], !options.forceBackward { return false }
    return node.definition.takesGradient(bottom: position)
  }

  private func learnsParameters(_ node: Node) -> Bool {
    options.learns && node.parameters.indices.contains { learns(parameter: $0, of: node) }
  }

  /// Whether the solver changes parameter `index` of a node.
  package func learns(parameter index: Int, of node: Node) -> Bool {
    guard !node.parameters[index].isStatistic, !node.fields.parameter.freezeLearning else { return false }
    let specs = node.fields.parameter.param
    if options.learnsFrozen { return true }
    return index < specs.count && specs[index].hasLrMult ? specs[index].lrMult != 0 : true
  }
}

/// What a net is asked to do besides its prototxt.
package struct GraphOptions: Sendable {
  /// Gradients down to the inputs (`force_backward`).
  package var forceBackward = false
  /// Gradients of outputs that are no loss are fed in by the caller.
  package var seedsOutputs = false
  /// Whether parameters learn; false for nets that only run forward.
  package var learns = true
  /// Losses and metrics that are out, by name: layers that lead to nothing else are not run, and their parameters stay.
  package var idle: Set<String> = []
  /// Whether parameters with `lr_mult: 0` get a gradient too, as Caffe computes it for a net with `force_backward`.
  package var learnsFrozen = false
  /// Per index of a layer: the shapes of its tops, instead of those that it infers; for nets that are looked at without
  /// their sources.
  package var givenTops: [Int: [Shape]] = [:]

  package init(forceBackward: Bool = false, seedsOutputs: Bool = false, learns: Bool = true) {
    self.forceBackward = forceBackward
    self.seedsOutputs = seedsOutputs
    self.learns = learns
  }
}
