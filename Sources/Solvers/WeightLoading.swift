import CaffeSchema
import Diagnostics
import Nets

/// Starts a net from weights of other nets (fine-tuning), and tells what became of them.
package struct WeightLoading {
  private let log: TrainingLog

  package init(log: TrainingLog) { self.log = log }

  /// Takes over weights by layer name from each file in turn.
  ///
  /// - Throws: `badWeights` for layers that do not fit; `unreadableFile`.
  package func start(_ net: Net, from paths: [String]) throws {
    var loaded: Set<String> = []
    for path in paths {
      log.finetuning(from: path)
      let report = try net.load(NetSource.readWeights(path), from: path)
      for layer in report.unused { log.note("Ignoring source layer \(layer)") }
      loaded.formUnion(report.loaded)
      if report.loaded.isEmpty {
        log.warn("'\(path)' has weights for none of the net's layers; are the layers named otherwise?")
      } else {
        log.note("taken from '\(path)': \(report.loaded.joined(separator: ", "))")
      }
    }
    guard !paths.isEmpty else { return }
    var left: [String] = []
    for entry in net.parameterTable.unique where !loaded.contains(entry.layerName) && !left.contains(entry.layerName) {
      left.append(entry.layerName)
    }
    if !left.isEmpty { log.note("in none of the files, learned from the start: \(left.joined(separator: ", "))") }
    let frozen = net.parameterTable.unique.filter { !$0.parameter.isLearned && loaded.contains($0.layerName) }
    var names: [String] = []
    for entry in frozen where !names.contains(entry.layerName) && !isStatistic(entry, net) {
      names.append(entry.layerName)
    }
    if !names.isEmpty { log.note("kept as they are by lr_mult 0: \(names.joined(separator: ", "))") }
  }

  private func isStatistic(_ entry: ParameterTable.Entry, _ net: Net) -> Bool {
    net.graph.nodes[entry.layer].parameters[entry.index].isStatistic
  }
}
