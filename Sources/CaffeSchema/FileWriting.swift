import Diagnostics
import Foundation

/// Writes a file as a whole or not at all: beside the target, synced to disk, then renamed over it.
///
/// Throws a `Diagnostic` (`outOfSpace` for a full disk or quota, else `unwritableFile`); the target is then as it was
/// and nothing is left beside it.
package func writeFile(_ bytes: Data, to path: String) throws {
  let files = StagedFiles()
  try files.add(bytes, for: path)
  try files.commit()
}

/// Writes text as UTF-8; see the other form.
package func writeFile(_ text: String, to path: String) throws {
  try writeFile(Data(text.utf8), to: path)
}

/// Files that belong together: all are on disk, beside their targets, before the first of them takes its place.
///
/// What was not committed is removed with this object. All methods throw a `Diagnostic`: `outOfSpace` for a full disk
/// or quota, else `unwritableFile`.
package final class StagedFiles {
  /// Of each file: as the caller names it, where it goes (a link stays a link: what it points to is replaced), and
  /// where it is now.
  private var files: [(path: String, target: String, part: String)] = []

  package init() {}

  deinit {
    for file in files { unlink(file.part) }
  }

  /// The ending of the files that are still beside their targets, which a killed process leaves behind.
  package static func ending(ofProcess process: Int32) -> String { ".part-\(process)" }

  /// Writes bytes, which take their place in `commit`.
  ///
  /// - Parameter isFirst: whether they do so before all that was added earlier.
  package func add(_ bytes: Data, for path: String, isFirst: Bool = false) throws {
    try add(for: path) { part in
      let code = writeAll(bytes, to: part)
      guard code == 0 else { throw writeFault(path, code) }
    }
    if isFirst { files.insert(files.removeLast(), at: 0) }
  }

  /// Lets `write` make a file, at the path that it is given.
  package func add(for path: String, write: (_ part: String) throws -> Void) throws {
    let target = resolved(path)
    var status = stat()
    if stat(target, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
      throw Diagnostic(.unwritableFile, "cannot write '\(path)': it is a folder or a device, not a file")
    }
    let part = target + StagedFiles.ending(ofProcess: getpid())
    files.append((path, target, part))
    try write(part)
    let code = sync(part, flags: O_WRONLY)
    guard code == 0 else { throw writeFault(path, code) }
  }

  /// Puts all files in their places, in the order in which they were added, and makes that last.
  package func commit() throws {
    while let file = files.first {
      guard rename(file.part, file.target) == 0 else { throw writeFault(file.path, errno) }
      files.removeFirst()
      let folder = URL(fileURLWithPath: file.target).deletingLastPathComponent().path
      let code = sync(folder, flags: O_RDONLY | O_DIRECTORY)
      // Some file systems cannot sync a folder; the file is in its place all the same.
      guard code == 0 || code == EINVAL else { throw writeFault(file.path, code) }
    }
  }
}

private func writeFault(_ path: String, _ code: Int32) -> Diagnostic {
  Diagnostic(
    [ENOSPC, EDQUOT, EFBIG].contains(code) ? .outOfSpace : .unwritableFile,
    "cannot write '\(path)': \(String(cString: strerror(code)))")
}

/// 0, or the system's code for what went wrong; as in the functions below.
private func writeAll(_ bytes: Data, to path: String) -> Int32 {
  let file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
  guard file >= 0 else { return errno }
  let code = bytes.withUnsafeBytes { buffer -> Int32 in
    var written = 0
    while written < buffer.count {
      // One call writes at most 2 GiB.
      let rest = UnsafeRawBufferPointer(rebasing: buffer[written...].prefix(1 << 30))
      let count = write(file, rest.baseAddress, rest.count)
      if count >= 0 {
        written += count
      } else if errno != EINTR {
        return errno
      }
    }
    return 0
  }
  return close(file) == 0 || code != 0 ? code : errno
}

/// Waits until a file, or the names in a folder, are on disk: a rename lasts only then.
private func sync(_ path: String, flags: Int32) -> Int32 {
  let file = open(path, flags | O_CLOEXEC)
  guard file >= 0 else { return errno }
  defer { close(file) }
  return fsync(file) == 0 ? 0 : errno
}

private func resolved(_ path: String) -> String {
  guard let real = realpath(path, nil) else { return path }
  defer { free(real) }
  return String(cString: real)
}
