import Diagnostics
import Foundation

/// A file that grows by whole pieces for as long as a run goes on.
///
/// It is opened when the first piece comes. When it cannot be written, that is told once, and training goes on unless it
/// is needed: what it holds is told by the log too.
final class AppendedFile {
  private let path: String
  private let warn: (String) -> Void
  private var file: Int32 = -1
  /// Why it cannot be written.
  private(set) var failure: String?

  init(_ path: String, warn: @escaping (String) -> Void) {
    self.path = path
    self.warn = warn
  }

  deinit { if file >= 0 { close(file) } }

  func append(_ bytes: Data) {
    guard failure == nil else { return }
    if file < 0 { file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666) }
    guard file >= 0 else { return fail() }
    bytes.withUnsafeBytes { buffer in
      var rest = buffer
      while !rest.isEmpty {
        let count = write(file, rest.baseAddress, rest.count)
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return fail() }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
      }
    }
  }

  private func fail() {
    let failure = "'\(path)' cannot be written (\(String(cString: strerror(errno))))"
    self.failure = failure
    warn(failure + "; training goes on without it")
  }
}
