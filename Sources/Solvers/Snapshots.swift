import CaffeSchema
import Diagnostics
import Glibc
import Nets
import Tensors

/// Whether a file or folder is at `path`.
func fileExists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// Writes and reads the pair of files that hold a training run: `PREFIX_iter_N.caffemodel`, the weights with the whole
/// net definition, and `PREFIX_iter_N.solverstate`, where the solver stands.
struct Snapshots {
  let prefix: String

  func weightsPath(_ iteration: Int) -> String { "\(prefix)_iter_\(iteration).caffemodel" }
  func statePath(_ iteration: Int) -> String { "\(prefix)_iter_\(iteration).solverstate" }

  /// Makes the folder of the snapshots and sees whether it can be written to, before hours of training.
  ///
  /// - Throws: `unwritableFile`.
  func prepareFolder() throws {
    if let slash = prefix.lastIndex(of: "/") { try makeFolders(String(prefix[..<slash])) }
    let probe = "\(prefix)_probe_\(getpid())"
    let file = open(probe, O_CREAT | O_WRONLY | O_CLOEXEC, 0o644)
    guard file >= 0 else {
      throw Diagnostic(
        .unwritableFile,
        "snapshots cannot be written as '\(prefix)_iter_…': \(String(cString: strerror(errno))); see snapshot_prefix")
    }
    close(file)
    unlink(probe)
  }

  private func makeFolders(_ path: String) throws {
    guard !path.isEmpty, !fileExists(path) else { return }
    if let slash = path.lastIndex(of: "/") { try makeFolders(String(path[..<slash])) }
    guard mkdir(path, 0o755) == 0 || errno == EEXIST else {
      throw Diagnostic(
        .unwritableFile, "the folder '\(path)' for snapshots cannot be made: \(String(cString: strerror(errno)))")
    }
  }

  /// Reads a solver state and checks that it belongs to this solver and net.
  ///
  /// - Throws: `badState`, with what does not fit.
  static func readState(
    _ path: String, fits histories: [(entry: ParameterTable.Entry, values: UnsafeMutablePointer<Float>)]
  )
    throws -> SolverState
  {
    if path.hasSuffix(".caffemodel") {
      throw Diagnostic(
        .badState, "'\(path)' holds weights, not a solver state; give it to --weights, or the .solverstate here")
    }
    let state = try readBinary(path, as: SolverState.self)
    guard state.hasIter, state.hasLearnedNet || !state.history.isEmpty else {
      throw Diagnostic(.badState, "'\(path)' is no solver state")
    }
    guard state.history.count == histories.count else {
      throw Diagnostic(
        .badState,
        "'\(path)' holds \(state.history.count) history blobs, but this solver type and net keep \(histories.count); "
          + "is it of another solver type or another net?")
    }
    for (index, (blob, history)) in zip(state.history, histories).enumerated()
    where blob.valueCount != history.entry.parameter.count {
      throw Diagnostic(
        .badState,
        "'\(path)': history \(index) is \(Shape(blob.dims)), but layer '\(history.entry.layerName)' \(history.entry.name) "
          + "is \(history.entry.parameter.shape)")
    }
    return state
  }
}
