import CaffeSchema
import Diagnostics
import Foundation
import Nets

/// A snapshot to go on from: a solver state, found and checked.
package struct ResumePoint: Sendable {
  /// The path of the `.solverstate`.
  package let path: String
  /// What lies beside it; nil for a state that Caffe wrote.
  package let runState: RunState?

  /// A snapshot that the user names.
  ///
  /// - Throws: `badState` for a file of weights, and for a snapshot of which a part is missing or damaged.
  package init(_ path: String) throws {
    if path.hasSuffix(".caffemodel") || path.hasSuffix(".caffemodel.h5") {
      throw Diagnostic(
        .badState,
        "'\(path)' holds weights, not a solver state; give it to --weights to start from them, or give the .solverstate "
          + "here to go on")
    }
    self.path = path
    let beside = SnapshotFiles.runStatePath(besideState: path)
    // A path that leads nowhere is told so when the state is read.
    guard fileExists(beside), fileExists(path) else {
      runState = nil
      return
    }
    let runState = try RunState.read(beside)
    // Another state of this iteration, in the other form, may lie there too.
    guard runState.state.name == namePart(of: path) else {
      self.runState = nil
      return
    }
    try runState.check(in: folderPart(of: path))
    self.runState = runState
  }

  /// The newest whole snapshot of a prefix, or nil where there is none.
  ///
  /// The newest is the one that was written last, so that a run which was started anew is not mistaken for an older one
  /// that came further.
  ///
  /// - Parameter skipped: is told about each newer one that is damaged.
  package static func newest(ofPrefix prefix: String, skipped: (Diagnostic) -> Void) -> ResumePoint? {
    let aged = SnapshotFiles.statePaths(ofPrefix: prefix).map { (path: $0, time: timeWritten($0)) }
    for (path, _) in aged.sorted(by: { ($0.time, $0.path) > ($1.time, $1.path) }) {
      do {
        let point = try ResumePoint(path)
        if point.runState == nil { try point.checkWithoutRunState() }
        return point
      } catch let fault as Diagnostic {
        skipped(fault)
      } catch {
        skipped(Diagnostic(.badState, "'\(path)' cannot be read: \(error)"))
      }
    }
    return nil
  }

  /// By the run state, or by the file system where there is none.
  private static func timeWritten(_ path: String) -> Double {
    if let state = try? RunState.read(SnapshotFiles.runStatePath(besideState: path)),
      state.state.name == namePart(of: path)
    {
      return state.written
    }
    var status = stat()
    guard stat(path, &status) == 0 else { return 0 }
    return Double(status.st_mtim.tv_sec) + Double(status.st_mtim.tv_nsec) / 1e9
  }

  /// Sees whether the files can be read; there is no checksum.
  private func checkWithoutRunState() throws {
    let state = try readState()
    _ = try NetSource.readWeights(try weightsPath(state))
  }

  /// The weights, as the state names them: beside it, or from the working directory where Caffe wrote it.
  func weightsPath(_ state: SolverState) throws -> String {
    if let runState { return folderPart(of: path) + runState.weights.name }
    let candidates = [state.learnedNet, folderPart(of: path) + namePart(of: state.learnedNet)]
    guard !state.learnedNet.isEmpty, let found = candidates.first(where: fileExists) else {
      throw Diagnostic(.badState, "the weights '\(state.learnedNet)' that '\(path)' belongs with are not there")
    }
    return found
  }

  /// - Throws: `badState` or `unreadableFile`.
  func readState() throws -> SolverState {
    let state = try isHDF5(path) ? HDF5State.read(path) : readBinary(path, as: SolverState.self)
    // Weights read as a state have none of these.
    guard state.hasIter, state.hasLearnedNet || !state.history.isEmpty else {
      throw Diagnostic(.badState, "'\(path)' is no solver state")
    }
    return state
  }
}
