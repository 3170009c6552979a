import CaffeSchema
import Nets

/// Which data layers of a graph give rows that meet in one layer: what has to be in step.
struct MeetingRows {
  struct Pair: Hashable {
    /// Indices of the layers, the earlier one first.
    let a: Int
    let b: Int
  }

  /// Each once, in the order in which they meet.
  private(set) var pairs: [Pair] = []
  /// Neighbouring rows of a blob that come from neighbouring rows of one data layer's batch.
  private struct Rows: Equatable {
    var layer: Int
    var first: Int
    var count: Int
  }

  private let graph: Graph
  /// Per value: where its rows come from; nil where that cannot be told.
  private var rows: [[Rows]?]
  private var doMeet = false

  init(_ graph: Graph) {
    self.graph = graph
    rows = graph.values.map { _ in nil }
    for index in graph.nodes.indices { follow(index) }
    // Of a net that puts its rows to no use, all layers are taken to belong together.
    guard !doMeet else { return }
    let layers = graph.nodes.indices.filter { graph.nodes[$0].definition is DataLayer }
    pairs = layers.dropFirst().map { Pair(a: layers[0], b: $0) }
  }

  private mutating func follow(_ index: Int) {
    let node = graph.nodes[index]
    if let data = node.definition as? DataLayer {
      for top in node.tops { rows[top] = [Rows(layer: index, first: 0, count: data.batchSize)] }
      return
    }
    let known = node.bottoms.compactMap { rows[$0] }
    guard let first = known.first else { return }
    switch node.fields.parameter.type {
    case "Concat" where axis(of: node.fields.parameter.concatParam) == 0:
      guard known.count == node.bottoms.count else { return }
      rows[node.tops[0]] = known.flatMap { $0 }
    case "Slice" where axis(of: node.fields.parameter.sliceParam) == 0:
      var start = 0
      for top in node.tops {
        let count = graph.values[top].shape.extent(0)
        rows[top] = cut(first, from: start, count: count)
        start += count
      }
    default:
      if known.count > 1 { meet(known) }
      let count = first.reduce(0) { $0 + $1.count }
      for top in node.tops where graph.values[top].shape.extent(0) == count { rows[top] = first }
    }
  }

  private func axis(of concat: ConcatParameter) -> Int {
    concat.hasConcatDim ? Int(concat.concatDim) : Int(concat.axis)
  }
  private func axis(of slice: SliceParameter) -> Int { slice.hasSliceDim ? Int(slice.sliceDim) : Int(slice.axis) }

  private func cut(_ rows: [Rows], from start: Int, count: Int) -> [Rows] {
    var (skip, left) = (start, count)
    var cut: [Rows] = []
    for part in rows where left > 0 {
      let taken = min(part.count - min(skip, part.count), left)
      if taken > 0 { cut.append(Rows(layer: part.layer, first: part.first + skip, count: taken)) }
      skip = max(0, skip - part.count)
      left -= taken
    }
    return cut
  }

  /// Notes the layers of which the same rows stand at the same places.
  private mutating func meet(_ bottoms: [[Rows]]) {
    doMeet = true
    for other in bottoms.dropFirst() {
      for (a, b) in zip(bottoms[0], other) where a.layer != b.layer && (a.first, a.count) == (b.first, b.count) {
        let pair = Pair(a: min(a.layer, b.layer), b: max(a.layer, b.layer))
        if !pairs.contains(pair) { pairs.append(pair) }
      }
    }
  }
}
