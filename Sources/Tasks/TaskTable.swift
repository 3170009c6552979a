import CaffeSchema
import Nets
import Tensors

/// One of the things that a net learns at the same time: one objective, or several that belong together, with metrics.
package struct LearningTask: Sendable {
  package let name: String
  /// Indices of the losses among the graph's values; empty for a metric without a loss.
  package let losses: [Int]
  /// Indices of the metrics' tops among the graph's values.
  package let metrics: [Int]
}

/// The tasks of a net: those that `task` names, then each other value that counts in the objective. A metric belongs to
/// the task that names it; else to the one whose loss looks at the same scores or, where that is clear, the same labels.
package struct TaskTable: Sendable {
  package let tasks: [LearningTask]

  package init(_ net: Net) { self.init(net.graph, named: net.source.parameter.task) }

  /// - Parameter named: checked by `TaskNaming`. Tasks of which the graph has neither a loss nor a metric are left out:
  ///   the nets of both phases need not have the same layers.
  package init(_ graph: Graph, named: [TaskParameter]) {
    let losses = graph.values.indices.filter { graph.values[$0].lossWeight != 0 }
    let found = TaskTable.names(losses.map { graph.values[$0].name })
    var drafts = named.map { task in
      let own = losses.indices.filter {
        task.loss.isEmpty ? found[$0] == task.name : task.loss.contains(graph.values[losses[$0]].name)
      }.map { losses[$0] }
      return Draft(
        name: task.name, losses: own, metrics: task.metric.compactMap { TaskTable.metric($0, graph) })
    }
    for (loss, name) in zip(losses, found) where !drafts.contains(where: { $0.losses.contains(loss) }) {
      let isTaken = drafts.contains { $0.name == name }
      drafts.append(Draft(name: isTaken ? graph.values[loss].name : name, losses: [loss], metrics: []))
    }
    for node in graph.nodes where node.definition.role == .metric && !node.isIdle {
      let tops = node.tops.filter { top in !drafts.contains { $0.metrics.contains(top) } }
      if let task = TaskTable.task(of: node, among: drafts, graph) {
        drafts[task].metrics += tops
      } else {
        drafts += tops.map { Draft(name: graph.values[$0].name, losses: [], metrics: [$0]) }
      }
    }
    tasks = drafts.filter { !$0.losses.isEmpty || !$0.metrics.isEmpty }.map {
      LearningTask(name: $0.name, losses: $0.losses, metrics: $0.metrics)
    }
  }

  /// Tasks that are learned, not only measured.
  package var learned: [LearningTask] { tasks.filter { !$0.losses.isEmpty } }

  private struct Draft {
    let name: String
    let losses: [Int]
    var metrics: [Int]
  }

  /// The newest value of that name, unless it is a loss.
  private static func metric(_ name: String, _ graph: Graph) -> Int? {
    graph.values.lastIndex { $0.name == name && $0.lossWeight == 0 }
  }

  /// The task with a loss on the same scores; failing that, the only one on the same labels.
  private static func task(of metric: Graph.Node, among drafts: [Draft], _ graph: Graph) -> Int? {
    guard let scores = metric.bottoms.first else { return nil }
    func tasks(where matches: (_ bottoms: [Int]) -> Bool) -> [Int] {
      drafts.indices.filter { task in
        drafts[task].losses.contains { matches(graph.nodes[graph.values[$0].producer].bottoms) }
      }
    }
    // A table of the heads of many tasks is no single one's.
    let heads = drafts.flatMap(\.losses).compactMap { graph.nodes[graph.values[$0].producer].bottoms.first }
    if Set(heads).intersection(metric.bottoms).count > 1 { return nil }
    if let same = tasks(where: { $0.first == scores }).first { return same }
    let labels = Set(metric.bottoms.dropFirst())
    let sharing = tasks { !labels.isDisjoint(with: $0.dropFirst()) }
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
