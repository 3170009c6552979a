import CaffeSchema
import Compute
import Diagnostics
import Tensors

/// Binds a graph's layers to an engine, one after the other, and records who reads and writes what.
///
/// Its outcome is the list of bound nodes (layers and the reorders between them) with their blobs, from which
/// `Schedule` makes the steps and `MemoryPlan` the places.
final class Binder {
  let engine: any Engine
  private(set) var nodes: [BoundNode] = []
  /// Per value of the graph.
  private(set) var sites: [BlobSite] = []

  init(engine: any Engine) { self.engine = engine }

  /// - Parameters:
  ///   - tasks: per node of the graph, the tasks behind it, where they matter.
  ///   - tellsTasksApart: whether backward runs task by task.
  func bind(
    _ graph: Graph, parameters: [[Parameter]], clock: NetClock, pinsEverything: Bool, options: GraphOptions,
    tasks: [Set<Int>]? = nil, tellsTasksApart: Bool = false
  ) throws {
    let rows = Binder.liveRows(of: graph)
    for value in graph.values { sites.append(BlobSite(value: value, rows: value.rows.flatMap { rows[$0.source] })) }
    let outputs = Set(graph.outputs)
    let absorptions = pinsEverything ? nil : Absorptions(graph, tasks: tasks)
    func learns(_ node: Graph.Node) -> [Bool] {
      node.parameters.indices.map { options.learns && graph.learns(parameter: $0, of: node) }
    }
    for (index, node) in graph.nodes.enumerated() {
      if node.isIdle {
        for value in node.tops { sites[value].isAbsorbed = true }
        continue
      }
      if absorptions?.isAbsorbed[index] == true { continue }
      let taken = absorptions?.taken[index] ?? []
      let joined = absorptions?.joined[index] ?? []
      let last = taken.last.map { graph.nodes[$0] } ?? node
      try refuseEmptyTops(of: node, graph)
      let bound = BoundNode(kind: .layer(index), name: node.fields.name, type: node.fields.parameter.type)
      bound.sources = node.bottoms.map { sites[$0] }
      bound.bottomWantsGradient = node.bottomWantsGradient
      let others = zip(taken, [index] + taken).map { graph.otherBottoms(of: $0, behind: $1) } + joined.map { _ in [] }
      let followers = zip(taken + joined, others).map { follower, others in
        AbsorbedLayer(
          definition: graph.nodes[follower].definition, parameters: parameters[follower],
          learns: learns(graph.nodes[follower]), otherBottoms: bound.read(others.map { sites[$0] }))
      }
      bound.runsBackward = node.runsBackward || (taken + joined).contains { graph.nodes[$0].runsBackward }
      let tops = last.tops + joined.flatMap { graph.nodes[$0].tops }
      bound.tops = tops.map { sites[$0] }
      bound.absorbed = taken + joined
      bound.learned = ([index] + bound.absorbed).flatMap { layer in
        zip(parameters[layer], learns(graph.nodes[layer])).filter(\.1).map(\.0)
      }
      let binding = LayerBinding(
        binder: self, bound: bound, fields: node.fields, bottomShapes: node.bottoms.map { graph.values[$0].shape },
        topShapes: tops.map { graph.values[$0].shape }, parameters: parameters[index], learns: learns(node),
        followers: followers,
        draws: LayerDraws(clock: clock, layer: RandomStream.part(node.fields.name)),
        taskCount: tellsTasksApart ? max(1, tasks?[index].count ?? 1) : 1, liveRows: rows[index])
      do {
        bound.run = try node.definition.bind(binding)
      } catch let fault as Diagnostic {
        throw fault.within(layer: node.fields.identity, at: node.fields.location())
      }
      nodes.append(bound)
      for follower in [node] + taken.map({ graph.nodes[$0] }) where follower.tops != last.tops {
        for value in follower.tops { sites[value].isAbsorbed = true }
      }
      for value in tops {
        let isOutput = outputs.contains(value)
        sites[value].isFed = options.seedsOutputs && isOutput && sites[value].loss == nil
        if pinsEverything || isOutput || sites[value].loss != nil {
          sites[value].pin(gradients: pinsEverything || sites[value].isFed)
        }
      }
    }
  }

  /// By the layer that decides.
  private static func liveRows(of graph: Graph) -> [Int: LiveRows] {
    var rows: [Int: LiveRows] = [:]
    for value in graph.values {
      guard let varying = value.rows, value.producer == varying.source else { continue }
      rows[varying.source] = LiveRows(axis: varying.axis, count: value.shape[varying.axis])
    }
    return rows
  }

  private func refuseEmptyTops(of node: Graph.Node, _ graph: Graph) throws {
    guard !engine.takesEmptyBlobs, let empty = node.tops.first(where: { graph.values[$0].shape.count == 0 }) else {
      return
    }
    let value = graph.values[empty]
    throw node.fields.fault(
      .badShape,
      "top '\(value.name)' is \(value.shape) and holds no values; the \(engine.name) engine needs at least one")
  }

  /// `site` in `layout`, with a gradient of the reader's own.
  func branch(
    of site: BlobSite, in layout: Layout, wantsGradient: Bool, for reader: BoundNode, at bottom: Int
  ) -> Blob {
    let source = site.blob.layout == layout ? site : reordered(site, to: layout)
    let blob = Blob(
      name: source.blob.name, shape: source.blob.shape, layout: layout, hasGradient: wantsGradient,
      dataRegion: source.blob.dataRegion, rows: source.blob.rows)
    source.branches.append((reader, blob))
    reader.bottoms.append(blob)
    return blob
  }

  /// The copy of `site` in `layout`, made once for all readers.
  private func reordered(_ site: BlobSite, to layout: Layout) -> BlobSite {
    if let copy = site.copies.first(where: { $0.blob.layout == layout }) { return copy }
    let node = BoundNode(kind: .reorder, name: site.blob.name, type: "Reorder")
    let copy = BlobSite(
      blob: Blob(
        name: site.blob.name, shape: site.blob.shape, layout: layout, hasGradient: site.blob.hasGradient,
        rows: site.blob.rows))
    node.tops = [copy]
    let bottom = branch(
      of: site, in: site.blob.layout, wantsGradient: site.blob.hasGradient, for: node, at: 0)
    node.backwardReads = []
    node.run = ReorderRun(engine: engine, bottom: bottom, top: copy.blob)
    nodes.append(node)
    site.copies.append(copy)
    return copy
  }

  func makeTop(_ index: Int, of node: BoundNode, shape: Shape, in layout: Layout, dataRegion: Region?) -> Blob {
    let site = node.tops[index]
    let blob = Blob(
      name: site.name, shape: shape, layout: layout, hasGradient: site.hasGradient, dataRegion: dataRegion,
      rows: site.blob.rows)
    site.blob = blob
    return blob
  }
}

/// A layer or a reorder with the memory that it touches.
final class BoundNode {
  enum Kind: Equatable {
    case layer(Int)
    case reorder
  }

  let kind: Kind
  let name: String
  let type: String
  var run: (any LayerRun)?
  /// What the bottoms are, before layouts.
  var sources: [BlobSite] = []
  var bottomWantsGradient: [Bool] = []
  /// The branches that the node reads.
  var bottoms: [Blob] = []
  var tops: [BlobSite] = []
  var workspaces: [Region] = []
  var scratches: [Region] = []
  /// The data that backward reads; nil for everything.
  var backwardReads: [Region]?
  /// Whether backward writes into the tops' gradients.
  var changesTopGradients = false
  var inPlace: [(bottom: Blob, top: Blob)] = []
  var sharedGradients: [(first: Blob, second: Blob)] = []
  var runsBackward = false
  /// The layers whose work it does too.
  var absorbed: [Int] = []
  /// The parameters that it learns.
  var learned: [Parameter] = []

  init(kind: Kind, name: String, type: String) {
    self.kind = kind
    self.name = name
    self.type = type
  }

  /// Adds bottoms whose gradients nobody wants; returns their places.
  func read(_ others: [BlobSite]) -> Range<Int> {
    sources += others
    bottomWantsGradient += others.map { _ in false }
    return (sources.count - others.count)..<sources.count
  }
}

/// A value of the graph, or a reordered copy of one, with its readers.
final class BlobSite {
  let name: String
  let hasGradient: Bool
  /// Present when the value counts in the objective.
  let loss: LossTerm?
  /// Whether the caller writes the gradient.
  var isFed = false
  /// Whether it never exists: its reader's work is done where it would be made, or there is none.
  var isAbsorbed = false
  /// Stands in until the producer is bound.
  var blob: Blob
  var branches: [(reader: BoundNode, blob: Blob)] = []
  var copies: [BlobSite] = []

  init(value: Graph.Value, rows: LiveRows?) {
    name = value.name
    hasGradient = value.hasGradient
    loss = value.lossWeight == 0 ? nil : LossTerm(name: value.name, weight: value.lossWeight)
    blob = Blob(name: value.name, shape: value.shape, layout: .plain, hasGradient: value.hasGradient, rows: rows)
  }

  init(blob: Blob) {
    name = blob.name
    hasGradient = blob.hasGradient
    loss = nil
    self.blob = blob
  }

  func pin(gradients: Bool) {
    blob.dataRegion.root.isPinned = true
    if gradients { blob.gradientRegion.root.isPinned = true }
  }
}

/// A term of the objective: `weight` times the sum of the blob's values.
package final class LossTerm {
  /// The blob's name.
  package let name: String
  /// The prototxt's `loss_weight`.
  package let weight: Float
  /// What task weighting multiplies the gradient by, from pass to pass; the objective is told without it.
  package var factor: Float = 1
  /// The task that the loss belongs to, where tasks are told apart.
  var task: Int?

  init(name: String, weight: Float) {
    self.name = name
    self.weight = weight
  }
}

/// Copies a blob into another layout, and its gradient back.
private final class ReorderRun: DescribedRun {
  private let there: any ReorderOp
  private let back: (any ReorderOp)?
  private let bottom: Blob
  private let top: Blob

  init(engine: any Engine, bottom: Blob, top: Blob) {
    do {
      there = try engine.reorder(shape: bottom.shape, from: bottom.layout, to: top.layout)
      back = bottom.hasGradient ? try engine.reorder(shape: bottom.shape, from: top.layout, to: bottom.layout) : nil
    } catch {
      preconditionFailure("an engine must be able to reorder between its own layouts: \(error)")
    }
    self.bottom = bottom
    self.top = top
  }

  var implementation: String { there.implementation }

  func forward() { there.run(from: bottom.data, to: top.data) }
  func backward() { back?.run(from: top.gradient, to: bottom.gradient) }
}
