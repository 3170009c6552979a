import Tensors

/// A layer that can do the work of layers behind it within its own step, where that changes no number beyond rounding.
package protocol AbsorbingLayer: Layer {
  /// How many of `followers` it takes over, from the first on. They form a chain: each has one top, and is the only
  /// reader of the layer before it. What else it reads is there before this layer runs.
  ///
  /// Its `bind` then finds them in `LayerBinding.followers`, and its top is the last one's.
  func absorbs(_ followers: [FollowingLayer]) -> Int
}

/// A layer that can be computed in one step with others that read the same bottom.
package protocol JoiningLayer: Layer {
  /// Whether `other` can join it. Its `bind` then finds those that do in `LayerBinding.followers`, and makes their tops
  /// after its own.
  func joins(_ other: any Layer) -> Bool
}

/// A layer that one before it might take over.
package struct FollowingLayer {
  package let definition: any Layer
  package let bottomShape: Shape
  /// How many bottoms it has besides the one that comes from the layer before it.
  package let otherBottomCount: Int
  /// Whether backward passes it.
  package let runsBackward: Bool
}

/// A layer that the one being bound has taken over.
package struct AbsorbedLayer {
  package let definition: any Layer
  package let parameters: [Parameter]
  /// Whether parameter `i` learns in this net.
  package let learns: [Bool]
  /// Its other bottoms, as `LayerBinding.bottom` counts them.
  package let otherBottoms: Range<Int>
}

/// Stands in the list of runs for a layer whose work another one does.
final class AbsorbedRun: LayerRun {
  func forward() {}
}

/// Which layers of a graph do the work of which others.
struct Absorptions {
  /// Per node: the nodes that it takes over, in their order.
  private(set) var taken: [[Int]]
  /// Per node: the nodes that join it.
  private(set) var joined: [[Int]]
  /// Per node: whether another one does its work.
  private(set) var isAbsorbed: [Bool]

  /// - Parameter tasks: per node, those behind it; nil where they do not matter. Layers of different tasks are not joined.
  init(_ graph: Graph, tasks: [Set<Int>]? = nil) {
    taken = graph.nodes.map { _ in [] }
    joined = taken
    isAbsorbed = graph.nodes.map { _ in false }
    for (index, node) in graph.nodes.enumerated() where !isAbsorbed[index] && !node.isIdle {
      guard let definition = node.definition as? any AbsorbingLayer else { continue }
      let chain = Absorptions.chain(behind: index, graph)
      let followers = zip(chain, [index] + chain).map { follower, previous in
        FollowingLayer(
          definition: graph.nodes[follower].definition,
          bottomShape: graph.values[graph.nodes[previous].tops[0]].shape,
          otherBottomCount: graph.nodes[follower].bottoms.count - 1,
          runsBackward: graph.nodes[follower].runsBackward)
      }
      let count = definition.absorbs(followers)
      taken[index] = Array(chain.prefix(count))
      for follower in taken[index] { isAbsorbed[follower] = true }
    }
    for value in graph.values where value.consumers.count > 1 && value.rows == nil {
      join(value.consumers, graph, tasks)
    }
  }

  /// Readers of one value that are alike.
  private mutating func join(_ readers: [(node: Int, bottom: Int)], _ graph: Graph, _ tasks: [Set<Int>]?) {
    var free = readers.map(\.node).filter { index in
      let node = graph.nodes[index]
      return node.definition is any JoiningLayer && node.bottoms.count == 1 && node.tops.count == 1
        && !isAbsorbed[index] && taken[index].isEmpty
    }
    while let first = free.first, let definition = graph.nodes[first].definition as? any JoiningLayer {
      let others = free.dropFirst().filter { other in
        definition.joins(graph.nodes[other].definition)
          && graph.nodes[other].bottomWantsGradient == graph.nodes[first].bottomWantsGradient
          && tasks?[other] == tasks?[first]
      }
      joined[first] = others
      for other in others { isAbsorbed[other] = true }
      free.removeAll { $0 == first || others.contains($0) }
    }
  }

  /// The nodes behind `index` that each are the only reader of the one before. What they read besides comes from nodes in
  /// front of `index`.
  private static func chain(behind index: Int, _ graph: Graph) -> [Int] {
    var chain: [Int] = []
    var last = index
    while graph.nodes[last].tops.count == 1 {
      let previous = last
      let value = graph.values[graph.nodes[last].tops[0]]
      guard value.consumers.count == 1, value.lossWeight == 0 else { break }
      last = value.consumers[0].node
      let others = graph.otherBottoms(of: last, behind: previous)
      guard graph.nodes[last].tops.count == 1, others.allSatisfy({ graph.values[$0].producer < index }) else { break }
      chain.append(last)
    }
    return chain
  }
}

extension Graph {
  /// What a node reads besides the top of the one before it.
  func otherBottoms(of node: Int, behind previous: Int) -> [Int] {
    nodes[node].bottoms.filter { !nodes[previous].tops.contains($0) }
  }
}
