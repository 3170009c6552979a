import CaffeSchema
import Diagnostics
import Foundation

/// Whether a file or folder is at `path`.
func fileExists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// Whether two paths lead to one file.
package func isOneFile(_ first: String, _ second: String) -> Bool {
  var (one, other) = (stat(), stat())
  return stat(first, &one) == 0 && stat(second, &other) == 0 && one.st_dev == other.st_dev
    && one.st_ino == other.st_ino
}

/// The folder of a path, with the slash at its end; empty for a bare name.
func folderPart(of path: String) -> String {
  path.lastIndex(of: "/").map { String(path[...$0]) } ?? ""
}

/// A path without its folder.
func namePart(of path: String) -> String { String(path.dropFirst(folderPart(of: path).count)) }

/// In which form weights and states are written (`snapshot_format`).
package enum SnapshotFormat: Sendable, CaseIterable {
  case binary
  case hdf5

  /// The endings of Caffe's files.
  var weightsEnding: String { ".caffemodel" + ending }
  var stateEnding: String { ".solverstate" + ending }
  private var ending: String { self == .hdf5 ? ".h5" : "" }

  /// The form of a solver state, by its name.
  static func ofState(_ path: String) -> SnapshotFormat? { allCases.first { path.hasSuffix($0.stateEnding) } }
}

/// The files of a run's snapshots: where they are, which there are, and how they are removed.
///
/// A snapshot is `PREFIX_iter_N.caffemodel`, the weights with the whole net definition, `PREFIX_iter_N.solverstate`, what
/// Caffe's solver keeps, and `PREFIX_iter_N.runstate`, all else (see `RunState`). In HDF5 the first two end with `.h5`,
/// and the weights come without the definition.
struct SnapshotFiles {
  let prefix: String
  let format: SnapshotFormat

  func weightsPath(_ iteration: Int) -> String { "\(prefix)_iter_\(iteration)\(format.weightsEnding)" }
  func statePath(_ iteration: Int) -> String { "\(prefix)_iter_\(iteration)\(format.stateEnding)" }
  func runStatePath(_ iteration: Int) -> String { "\(prefix)_iter_\(iteration).runstate" }
  var bestWeightsPath: String { "\(prefix)_best\(format.weightsEnding)" }
  func bestWeightsPath(ofTask task: String) -> String {
    "\(prefix)_best_\(task.replacing("/", with: "_"))\(format.weightsEnding)"
  }

  /// The path of the run state beside a solver state.
  static func runStatePath(besideState path: String) -> String {
    let ending = SnapshotFormat.ofState(path)?.stateEnding ?? ""
    return "\(path.dropLast(ending.count)).runstate"
  }

  /// The paths of the solver states of a prefix, in whatever form.
  static func statePaths(ofPrefix prefix: String) -> [String] {
    let folder = folderPart(of: prefix)
    let start = namePart(of: prefix) + "_iter_"
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? "." : folder)) ?? []
    return names.filter { name in
      guard name.hasPrefix(start), let ending = SnapshotFormat.ofState(name)?.stateEnding else { return false }
      return Int(name.dropFirst(start.count).dropLast(ending.count)) != nil
    }.map { folder + $0 }
  }

  // MARK: Before training

  /// Makes the folder of the snapshots, takes away what killed runs left half written, and sees whether the folder can
  /// be written to and has room for one, before hours of training.
  ///
  /// - Parameter byteCount: about the size of one snapshot.
  /// - Throws: `unwritableFile`, `outOfSpace`.
  func prepareFolder(for byteCount: Int) throws {
    let folder = folderPart(of: prefix)
    if !folder.isEmpty { try makeFolders(String(folder.dropLast())) }
    removeLeftovers()
    let probe = "\(prefix)_probe"
    do {
      try writeFile("can this folder be written to?", to: probe)
    } catch let fault as Diagnostic {
      throw Diagnostic(
        fault.code, "snapshots cannot be written as '\(prefix)_iter_…': \(fault.message); see snapshot_prefix")
    }
    unlink(probe)
    var status = statvfs()
    // Some file systems do not know their size.
    guard statvfs(folder.isEmpty ? "." : folder, &status) == 0, status.f_blocks > 0 else { return }
    let free = Int(status.f_bavail) * Int(status.f_frsize)
    guard free < byteCount else { return }
    throw Diagnostic(
      .outOfSpace,
      "a snapshot takes about \(byteText(byteCount)), but the disk of '\(prefix)_iter_…' has \(byteText(free)) free; free "
        + "some space there, or set snapshot_prefix to another disk")
  }

  private func makeFolders(_ path: String) throws {
    guard !path.isEmpty, !fileExists(path) else { return }
    try makeFolders(String(folderPart(of: path).dropLast()))
    guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
      throw Diagnostic(
        .unwritableFile, "the folder '\(path)' for snapshots cannot be made: \(String(cString: strerror(errno)))")
    }
  }

  /// Removes files of this prefix that processes which are gone had not finished.
  private func removeLeftovers() {
    let folder = folderPart(of: prefix)
    let mark = StagedFiles.ending(ofProcess: 0).dropLast()
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.isEmpty ? "." : folder)) ?? []
    for name in names where name.hasPrefix(namePart(of: prefix) + "_") {
      guard let range = name.range(of: mark, options: .backwards), let process = Int32(name[range.upperBound...]),
        process != getpid(), kill(process, 0) != 0, errno == ESRCH
      else { continue }
      unlink(folder + name)
    }
  }

  // MARK: Afterwards

  /// Removes the snapshot of an iteration; what is not there is no fault.
  func remove(_ iteration: Int) {
    // The state first: without it nobody takes the rest for a snapshot.
    let formats = SnapshotFormat.allCases.map { SnapshotFiles(prefix: prefix, format: $0) }
    let paths = formats.map { $0.statePath(iteration) } + [runStatePath(iteration)]
    for path in paths + formats.map({ $0.weightsPath(iteration) }) { unlink(path) }
  }
}

/// 512 bytes, 4 KiB, 12 MiB, …
func byteText(_ count: Int) -> String {
  for (unit, size) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] where count >= 10 * size {
    return "\(count / size) \(unit)"
  }
  return "\(count) bytes"
}
