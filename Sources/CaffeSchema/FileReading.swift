import Diagnostics
import Foundation

/// The bytes of a file, mapped where the file system can.
///
/// Throws a `Diagnostic` for a path that is missing, a folder, not readable, or an empty file.
package func readFile(_ path: String) throws -> Data {
  var status = stat()
  guard stat(path, &status) == 0 else { throw unreadable(path, errno) }
  if status.st_mode & S_IFMT == S_IFDIR {
    throw Diagnostic(.unreadableFile, "cannot read '\(path)': it is a folder, not a file")
  }
  let bytes: Data
  do {
    if status.st_mode & S_IFMT == S_IFREG {
      bytes = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
    } else {
      // A pipe, such as /dev/stdin.
      bytes = try FileHandle(forReadingFrom: URL(fileURLWithPath: path)).readToEnd() ?? Data()
    }
  } catch {
    throw unreadable(path, errnoCode(of: error))
  }
  if bytes.isEmpty { throw Diagnostic(.unreadableFile, "'\(path)' is empty") }
  return bytes
}

/// Throws a `Diagnostic` when a file that should hold text holds something else.
func checkIsText(_ bytes: Data, path: String) throws {
  let kind = FileKind(bytes)
  switch kind {
  case .text: return
  case .blank: throw Diagnostic(.unreadableFile, "'\(path)' is empty: it holds nothing but blanks and comments")
  case .utf16: throw Diagnostic(.unreadableFile, "'\(path)' is UTF-16 text; save it as UTF-8")
  case .hdf5: throw Diagnostic(.unreadableFile, "'\(path)' is an HDF5 file; a prototxt (text) is wanted here")
  case .binary:
    throw Diagnostic(
      .unreadableFile, "'\(path)' is a binary file (weights, a mean image?); a prototxt (text) is wanted here")
  }
}

/// What a file seems to hold, after its first bytes.
enum FileKind {
  case text, blank, utf16, hdf5, binary

  init(_ bytes: Data) {
    let start = bytes.prefix(4096)
    if start.starts(with: [0x89, 0x48, 0x44, 0x46]) {
      self = .hdf5
    } else if start.starts(with: [0xFF, 0xFE]) || start.starts(with: [0xFE, 0xFF]) {
      self = .utf16
    } else if start.contains(0) || 50 * start.count(where: FileKind.isControl) > start.count {
      self = .binary
    } else {
      self = FileKind.holdsNothing(bytes) ? .blank : .text
    }
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

  private static func isControl(_ byte: UInt8) -> Bool { byte < 0x20 && !isBlank(byte) }

  /// Whether there is nothing but blanks and comments.
  private static func holdsNothing(_ bytes: Data) -> Bool {
    var isComment = false
    for byte in bytes {
      if byte == UInt8(ascii: "\n") {
        isComment = false
      } else if byte == UInt8(ascii: "#") {
        isComment = true
      } else if !isComment, !isBlank(byte) {
        return false
      }
    }
    return true
  }
}

private func unreadable(_ path: String, _ code: Int32) -> Diagnostic {
  guard code == ENOENT || code == ENOTDIR else {
    return Diagnostic(.unreadableFile, "cannot read '\(path)': \(String(cString: strerror(code)))")
  }
  let url = URL(fileURLWithPath: path)
  let neighbours = (try? FileManager.default.contentsOfDirectory(atPath: url.deletingLastPathComponent().path)) ?? []
  let near = nearestName(to: url.lastPathComponent, among: neighbours.sorted())
  return Diagnostic(
    .unreadableFile, "there is no file '\(path)'" + (near.map { "; did you mean '\($0)'?" } ?? ""))
}

/// The errno behind an error of Foundation; EIO where there is none.
private func errnoCode(of error: any Error) -> Int32 {
  if let error = error as? POSIXError { return error.code.rawValue }
  let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey]
  if let error = underlying as? POSIXError { return error.code.rawValue }
  return (error as? CocoaError)?.code == .fileReadNoPermission ? EACCES : EIO
}
