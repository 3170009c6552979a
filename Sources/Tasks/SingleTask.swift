import CaffeSchema
import Nets

extension NetSource {
  /// The net of one task alone: without the layers that lead only to losses and metrics of other tasks, and with its
  /// own loss weights brought to the sum 1, as befits the only objective.
  ///
  /// - Parameters:
  ///   - name: the task.
  ///   - states: the states that nets are built in; layers of other states stay.
  /// - Throws: the net's faults.
  package func alone(task name: String, states: [NetState], catalogue: LayerCatalogue) throws -> NetSource {
    var kept = Set<Int>()
    var seen = Set<Int>()
    var weights: [Int: [Float]] = [:]
    for state in states {
      let included = parameter.layer.indices.filter { state.admits(parameter.layer[$0]) }
      seen.formUnion(included)
      let whole = try graph(state, idle: [], catalogue)
      let tasks = TaskTable(whole, named: parameter.task).tasks
      let own = tasks.filter { $0.name == name }
      let others = tasks.filter { $0.name != name }.flatMap { $0.losses + $0.metrics }
      let rest = try graph(state, idle: Set(others.map { whole.values[$0].name }), catalogue)
      for (node, layer) in zip(rest.nodes, included) where !node.isIdle { kept.insert(layer) }
      let losses = own.flatMap(\.losses)
      let sum = losses.reduce(0) { $0 + whole.values[$1].lossWeight }
      for loss in losses {
        let value = whole.values[loss]
        var all = whole.nodes[value.producer].tops.map { _ in Float(0) }
        all[value.top] = value.lossWeight / sum
        weights[included[value.producer]] = all
      }
    }
    var alone = self
    let indices = parameter.layer.indices.filter { kept.contains($0) || !seen.contains($0) }
    alone.parameter.layer = indices.map { index in
      var layer = parameter.layer[index]
      if let all = weights[index] { layer.lossWeight = all }
      return layer
    }
    alone.layerPlaces = indices.map { layerPlaces[$0] }
    alone.parameter.task = parameter.task.filter { $0.name == name }
    return alone
  }

  private func graph(_ state: NetState, idle: Set<String>, _ catalogue: LayerCatalogue) throws -> Graph {
    var options = GraphOptions(learns: state.phase == .train)
    options.idle = idle
    return try Graph(
      layers: layers(in: state), phase: state.phase, paths: PathSearch(besideFile: file), catalogue: catalogue,
      options: options)
  }
}
