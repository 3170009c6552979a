import CaffeSchema
import Diagnostics
import Nets

/// The output of a test net that tells how good a task is.
package struct TaskMetric: Equatable, Sendable {
  package var task: String
  /// The output's name.
  package var output: String
  package var lowerIsBetter: Bool
  /// The type of the layer that makes it.
  package var layerType: String

  /// Of each task that is learned: what `main_metric` names, or its first metric, or its loss. Lower is better for
  /// losses and for metrics whose type is named after errors, unless `lower_is_better` says otherwise.
  ///
  /// - Parameter graph: of a test net.
  /// - Throws: `badSolver` when the task has no output of that name.
  package static func all(in graph: Graph, _ table: TaskTable, named: [TaskParameter]) throws -> [TaskMetric] {
    try table.learned.map { task in
      let given = named.first { $0.name == task.name } ?? TaskParameter()
      return try TaskMetric(
        task, graph, output: given.hasMainMetric ? given.mainMetric : nil,
        lowerIsBetter: given.hasLowerIsBetter ? given.lowerIsBetter : nil)
    }
  }

  package init(_ task: LearningTask, _ graph: Graph, output: String?, lowerIsBetter: Bool?) throws {
    let outputs = task.metrics + task.losses
    let value = output.map { name in outputs.first { graph.values[$0].name == name } } ?? outputs.first
    guard let value else {
      throw Diagnostic(
        .badSolver,
        "task '\(task.name)' has no output '\(output ?? "")' in the test net (outputs: "
          + outputs.map { graph.values[$0].name }.joined(separator: ", ") + ")")
    }
    self.task = task.name
    self.output = graph.values[value].name
    layerType = graph.nodes[graph.values[value].producer].fields.parameter.type
    self.lowerIsBetter = lowerIsBetter ?? (graph.values[value].lossWeight != 0 || layerType.contains("Error"))
  }
}
