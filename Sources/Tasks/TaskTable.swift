import Nets
import Tensors

/// One of the things that a net learns at the same time: an objective with its metrics.
package struct LearningTask: Sendable {
  package let name: String
  /// Index of the loss among the graph's values; nil for a metric without a loss.
  package let loss: Int?
  /// Indices of the metrics' tops among the graph's values.
  package let metrics: [Int]
}

/// The tasks of a net, found in its graph: each value that counts in the objective, with the metrics that look at the
/// same scores or, where that is clear, the same labels.
package struct TaskTable: Sendable {
  package let tasks: [LearningTask]

  package init(_ graph: Graph) {
    let losses = graph.values.indices.filter { graph.values[$0].lossWeight != 0 }
    var metrics = [Int: [Int]]()
    var alone: [Int] = []
    for (index, node) in graph.nodes.enumerated() where node.definition.role == .metric {
      let tops = graph.nodes[index].tops
      if let loss = TaskTable.loss(of: node, among: losses, graph) {
        metrics[loss, default: []] += tops
      } else {
        alone += tops
      }
    }
    let names = TaskTable.names(losses.map { graph.values[$0].name })
    tasks =
      zip(losses, names).map { LearningTask(name: $1, loss: $0, metrics: metrics[$0] ?? []) }
      + alone.map { LearningTask(name: graph.values[$0].name, loss: nil, metrics: [$0]) }
  }

  /// The loss on the same scores; failing that, the only loss on the same labels.
  private static func loss(of metric: Graph.Node, among losses: [Int], _ graph: Graph) -> Int? {
    func bottoms(_ loss: Int) -> [Int] { graph.nodes[graph.values[loss].producer].bottoms }
    guard let scores = metric.bottoms.first else { return nil }
    if let same = losses.first(where: { bottoms($0).first == scores }) { return same }
    let labels = Set(metric.bottoms.dropFirst())
    let sharing = losses.filter { !labels.isDisjoint(with: bottoms($0).dropFirst()) }
    return sharing.count == 1 ? sharing[0] : nil
  }

  /// The loss names without the word 'loss', as far as that leaves them apart: `loss_digit` is the task `digit`.
  static func names(_ losses: [String]) -> [String] {
    let short = losses.map { name in
      let words = name.split(whereSeparator: { "_/-.".contains($0) }).filter { $0.lowercased() != "loss" }
      return words.joined(separator: "_")
    }
    return losses.indices.map { index in
      let isClear = !short[index].isEmpty && short.filter { $0 == short[index] }.count == 1
      return isClear ? short[index] : losses[index]
    }
  }
}
