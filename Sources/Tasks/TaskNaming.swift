import CaffeSchema
import Diagnostics
import Nets

/// The names in a net that tasks can speak of.
package struct NamesInNet: Sendable {
  /// Tops that count in the objective, in the order of the net.
  package let losses: [String]
  /// Tops that no layer reads and that do not count.
  package let metrics: [String]
  /// Every top.
  package let tops: Set<String>

  package init(_ graph: Graph) {
    losses = graph.values.filter { $0.lossWeight != 0 }.map(\.name)
    metrics = graph.values.filter { $0.lossWeight == 0 && $0.consumers.isEmpty && $0.rows == nil }.map(\.name)
    tops = Set(graph.values.map(\.name))
  }
}

/// The tasks that a solver (or a net) names, before they are looked for in a graph.
package struct TaskNaming: Sendable {
  package let tasks: [TaskParameter]
  private let places: FieldPlaces

  /// - Parameter places: of the message whose field `task` they are.
  package init(_ tasks: [TaskParameter], places: FieldPlaces) {
    self.tasks = tasks
    self.places = places
  }

  /// Sees whether the names fit the nets.
  ///
  /// - Throws: `badSolver`: a task without a name or with that of another one, a loss or metric that is none, or that two
  ///   tasks have.
  package func check(train: NamesInNet, tests: [NamesInNet]) throws {
    let found = TaskTable.names(train.losses)
    var owners: [String: Int] = [:]
    for (index, task) in tasks.enumerated() {
      try checkName(index)
      let names = task.loss.isEmpty ? try [lossFound(index, found, train)] : task.loss
      for (position, name) in names.enumerated() {
        let field = task.loss.isEmpty ? "name" : "loss[\(position)]"
        try checkLoss(name, index, field, train)
        try own(name, index, field, &owners)
      }
      for (position, name) in task.metric.enumerated() {
        try checkMetric(name, index, position, [train] + tests)
        try own(name, index, "metric[\(position)]", &owners)
      }
    }
    for (name, loss) in zip(found, train.losses) where owners[loss] == nil {
      guard let index = tasks.firstIndex(where: { $0.name == name }) else { continue }
      throw fault(
        "task '\(name)' would be the task of loss '\(loss)', which it does not have; list the loss, or choose another name",
        index, "name")
    }
  }

  private func fault(_ message: String, _ task: Int, _ field: String) -> Diagnostic {
    Diagnostic(.badSolver, message, at: places.location("task[\(task)].\(field)"))
  }

  private func checkName(_ index: Int) throws {
    let name = tasks[index].name
    guard !name.isEmpty else { throw fault("a task needs a name", index, "name") }
    guard let first = tasks.firstIndex(where: { $0.name == name }), first != index else { return }
    var twice = fault("there are two tasks '\(name)'; list the losses of a task in one", index, "name")
    twice.notes = [.init("'\(name)' is first given", at: places.location("task[\(first)].name"))]
    throw twice
  }

  /// Of a task that lists no loss.
  private func lossFound(_ index: Int, _ found: [String], _ train: NamesInNet) throws -> String {
    let name = tasks[index].name
    if let position = found.firstIndex(of: name) { return train.losses[position] }
    throw fault(
      "task '\(name)' lists no loss, and none of the net's tasks is called so\(meant(name, found)) (tasks: "
        + "\(list(found))); add loss: \"TOP\"", index, "name")
  }

  private func checkLoss(_ name: String, _ index: Int, _ field: String, _ train: NamesInNet) throws {
    guard !train.losses.contains(name) else { return }
    let why =
      train.tops.contains(name)
      ? "top '\(name)' of the training net is no loss: its loss_weight is 0"
      : "the training net has no loss '\(name)'\(meant(name, train.losses))"
    throw fault("task '\(tasks[index].name)': \(why) (losses: \(list(train.losses)))", index, field)
  }

  private func checkMetric(_ name: String, _ index: Int, _ position: Int, _ nets: [NamesInNet]) throws {
    guard !nets.contains(where: { $0.metrics.contains(name) }) else { return }
    let known = nets.flatMap(\.metrics)
    let why =
      nets.contains { $0.losses.contains(name) }
      ? "'\(name)' is a loss; list it with loss:"
      : nets.contains { $0.tops.contains(name) }
        ? "top '\(name)' is read by other layers, so it is no output of the net"
        : "no net has an output '\(name)'\(meant(name, known))"
    throw fault("task '\(tasks[index].name)': \(why)", index, "metric[\(position)]")
  }

  private func own(_ name: String, _ index: Int, _ field: String, _ owners: inout [String: Int]) throws {
    if let owner = owners[name] {
      throw fault(
        owner == index
          ? "'\(name)' is listed twice for task '\(tasks[index].name)'"
          : "'\(name)' belongs to task '\(tasks[owner].name)' already", index, field)
    }
    owners[name] = index
  }

  private func meant(_ name: String, _ known: [String]) -> String {
    nearestName(to: name, among: known).map { "; did you mean '\($0)'?" } ?? ""
  }

  private func list(_ names: [String]) -> String {
    names.prefix(20).joined(separator: ", ") + (names.count > 20 ? ", … (\(names.count) in all)" : "")
  }
}
