import CaffeSchema
import Diagnostics
import HDF5Files
import Nets

/// Caffe's solver state in HDF5: the datasets `iter`, `learned_net` and `current_step`, and a group `history` with a
/// dataset for each blob, named by its position.
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
    for index in try file.names(in: "history").indices {
      let dataset = try file.dataset("history/\(index)")
      var blob = BlobProto()
      blob.shape.dim = dataset.shape.map(Int64.init)
      blob.data = try dataset.floats()
      state.history.append(blob)
    }
    return state
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
    try writer.finish()
  }
}
