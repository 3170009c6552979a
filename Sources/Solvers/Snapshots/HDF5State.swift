import CaffeSchema
import Diagnostics
import HDF5Files
import Nets

/// Caffe's solver state in HDF5: the datasets `iter`, `learned_net` and `current_step`, and a group `history` with a
/// dataset for each blob, named by its position. Of our own, where tasks stop by themselves: a group `best_head` with one for
/// each task, by position, and in that the dataset `task`, its name, and a group `blobs` like `history`.
package enum HDF5State {
  /// - Throws: `badState` or `unreadableFile`.
  package static func read(_ path: String) throws -> SolverState {
    let file = try HDF5File(reading: path)
    guard file.kind(of: "history") == .group, file.kind(of: "iter") == .dataset else {
      throw Diagnostic(
        .badState,
        file.kind(of: "data") == .group
          ? "'\(path)' holds weights, not a solver state; give it to --weights" : "'\(path)' is no solver state")
    }
    var state = SolverState()
    state.iter = try number("iter", file)
    if file.kind(of: "current_step") == .dataset { state.currentStep = try number("current_step", file) }
    if file.kind(of: "learned_net") == .dataset { state.learnedNet = try file.dataset("learned_net").string() }
    state.history = try blobs(in: "history", file)
    guard file.kind(of: "best_head") == .group else { return state }
    for index in try file.names(in: "best_head").indices {
      var head = TaskHead()
      head.task = try file.dataset("best_head/\(index)/task").string()
      head.blobs = try blobs(in: "best_head/\(index)/blobs", file)
      state.bestHead.append(head)
    }
    return state
  }

  private static func blobs(in group: String, _ file: HDF5File) throws -> [BlobProto] {
    try file.names(in: group).indices.map { index in
      let dataset = try file.dataset("\(group)/\(index)")
      var blob = BlobProto()
      blob.shape.dim = dataset.shape.map(Int64.init)
      blob.data = try dataset.floats()
      return blob
    }
  }

  private static func number(_ name: String, _ file: HDF5File) throws -> Int32 {
    let values = try file.dataset(name).integers()
    guard values.count == 1, let value = Int32(exactly: values[0]) else {
      throw Diagnostic(.badState, "'\(file.path)' is no solver state: its '\(name)' is not one number")
    }
    return value
  }

  /// - Throws: `unwritableFile`, `outOfSpace`.
  static func write(
    _ state: SolverState, _ histories: [(entry: ParameterTable.Entry, values: UnsafeMutablePointer<Float>)],
    to path: String
  ) throws {
    let writer = try HDF5Writer(writing: path)
    try writer.write("iter", state.iter)
    try writer.write("learned_net", state.learnedNet)
    try writer.write("current_step", state.currentStep)
    try writer.makeGroup("history")
    for (index, history) in histories.enumerated() {
      try writer.write("history/\(index)", shape: history.entry.parameter.shape.dims, history.values)
    }
    if !state.bestHead.isEmpty { try writer.makeGroup("best_head") }
    for (index, head) in state.bestHead.enumerated() {
      try writer.makeGroup("best_head/\(index)")
      try writer.write("best_head/\(index)/task", head.task)
      try writer.makeGroup("best_head/\(index)/blobs")
      for (position, blob) in head.blobs.enumerated() {
        try writer.write("best_head/\(index)/blobs/\(position)", shape: blob.shape.dim.map(Int.init), blob.data)
      }
    }
    try writer.finish()
  }
}
