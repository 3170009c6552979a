import Diagnostics
import Foundation

/// Writes a file as a whole or not at all: beside the target, synced to disk, then renamed over it.
///
/// Throws a `Diagnostic` (`outOfSpace` for a full disk or quota, else `unwritableFile`); the target is then as it was
/// and nothing is left beside it.
package func writeFile(_ bytes: Data, to path: String) throws {
  // A link stays a link: what it points to is replaced.
  let target = resolved(path)
  var status = stat()
  if stat(target, &status) == 0, status.st_mode & S_IFMT != S_IFREG {
    throw Diagnostic(.unwritableFile, "cannot write '\(path)': it is a folder or a device, not a file")
  }
  let part = "\(target).part-\(getpid())"
  do throws(SystemError) {
    try writeSynced(bytes, to: part)
    try check(rename(part, target))
    try syncFolder(of: target)
  } catch {
    unlink(part)
    throw Diagnostic(
      [ENOSPC, EDQUOT, EFBIG].contains(error.code) ? .outOfSpace : .unwritableFile,
      "cannot write '\(path)': \(String(cString: strerror(error.code)))")
  }
}

/// Writes text as UTF-8; see the other form.
package func writeFile(_ text: String, to path: String) throws {
  try writeFile(Data(text.utf8), to: path)
}

private struct SystemError: Error {
  var code: Int32
}

@discardableResult
private func check(_ result: Int32) throws(SystemError) -> Int32 {
  guard result != -1 else { throw SystemError(code: errno) }
  return result
}

private func writeSynced(_ bytes: Data, to path: String) throws(SystemError) {
  let file = try check(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666))
  do throws(SystemError) {
    try writeAll(bytes, to: file)
    try check(fsync(file))
  } catch {
    close(file)
    throw error
  }
  try check(close(file))
}

private func writeAll(_ bytes: Data, to file: Int32) throws(SystemError) {
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
  if code != 0 { throw SystemError(code: code) }
}

/// The rename itself lasts only once the folder is on disk too.
private func syncFolder(of path: String) throws(SystemError) {
  let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
  let file = try check(open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC))
  defer { close(file) }
  // Some file systems cannot sync a folder; the file is in its place all the same.
  if fsync(file) != 0, errno != EINVAL { throw SystemError(code: errno) }
}

private func resolved(_ path: String) -> String {
  guard let real = realpath(path, nil) else { return path }
  defer { free(real) }
  return String(cString: real)
}
