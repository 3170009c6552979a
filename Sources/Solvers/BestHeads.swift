import CaffeSchema
import Diagnostics
import Nets
import Tasks

/// The layers of the tasks' own as they were at the best test of each.
///
/// A task that is left out of the training net once its validation loss has risen would leave layers behind that have
/// learned by heart; those of its best test fit what the shared layers go on to become better.
struct BestHeads {
  /// By task: the parameters, statistics among them, that layers with no other task behind them have.
  private let parameters: [String: [ParameterTable.Entry]]
  private var values: [String: [[Float]]] = [:]

  init(_ net: Net) {
    let tasks = TaskTable(net).learned
    let behind = net.graph.tasksBehind(tasks.map(\.losses))
    var users: [ObjectIdentifier: Set<Int>] = [:]
    for (layer, parameters) in net.parameterTable.byLayer.enumerated() {
      for parameter in parameters { users[ObjectIdentifier(parameter), default: []].formUnion(behind[layer]) }
    }
    var own: [String: [ParameterTable.Entry]] = [:]
    for entry in net.parameterTable.unique {
      let users = users[ObjectIdentifier(entry.parameter)] ?? []
      if let task = users.first, users.count == 1 { own[tasks[task].name, default: []].append(entry) }
    }
    parameters = own
  }

  /// Keeps a task's layers as they are now.
  mutating func keep(_ task: String) {
    values[task] = (parameters[task] ?? []).map { entry in
      Array(UnsafeBufferPointer(start: entry.parameter.values, count: entry.parameter.count))
    }
  }

  /// Gives a task's layers the values that were kept, if any were.
  func restore(_ task: String) {
    for (entry, values) in zip(parameters[task] ?? [], values[task] ?? []) {
      entry.parameter.values.update(from: values, count: values.count)
      entry.parameter.touch()
    }
  }

  // MARK: Snapshots

  var saved: [TaskHead] {
    values.sorted { $0.key < $1.key }.map { task, values in
      var head = TaskHead()
      head.task = task
      head.blobs = zip(parameters[task] ?? [], values).map { entry, values in
        values.withUnsafeBufferPointer { buffer in
          buffer.baseAddress.map { BlobProto(values: $0, shape: entry.parameter.shape) } ?? BlobProto()
        }
      }
      return head
    }
  }

  /// - Throws: `badState` for heads of another net; then nothing has been changed.
  mutating func load(_ heads: [TaskHead], from path: String) throws {
    var loaded: [String: [[Float]]] = [:]
    for head in heads {
      let own = parameters[head.task] ?? []
      guard head.blobs.map(\.valueCount) == own.map(\.parameter.count) else {
        throw Diagnostic(
          .badState,
          "'\(path)' is of another net: the layers of task '\(head.task)' that it keeps have other parameters")
      }
      loaded[head.task] = zip(head.blobs, own).map { blob, entry in
        [Float](unsafeUninitializedCapacity: entry.parameter.count) { buffer, count in
          if let base = buffer.baseAddress { blob.copyValues(to: base) }
          count = entry.parameter.count
        }
      }
    }
    values = loaded
  }
}
