import Diagnostics
import Glibc

/// All bytes of a file.
///
/// - Parameter path: bytes as the system takes them, without the closing zero; they need not be UTF-8.
/// Throws a `Diagnostic` (`unreadableFile`) that says why, without naming the file.
func readFile(_ path: some Sequence<UInt8>) throws -> [UInt8] {
  let file = open(cPath(path), O_RDONLY | O_CLOEXEC)
  guard file >= 0 else {
    throw Diagnostic(.unreadableFile, errno == ENOENT ? "there is no such file" : systemMessage(errno))
  }
  defer { close(file) }
  var status = stat()
  guard fstat(file, &status) == 0 else { throw Diagnostic(.unreadableFile, systemMessage(errno)) }
  if status.st_mode & S_IFMT == S_IFDIR { throw Diagnostic(.unreadableFile, "it is a folder, not a file") }
  var bytes: [UInt8] = []
  // One byte more than its size tells a regular file's end with one read; a pipe has no size.
  var room = max(Int(status.st_size), 1 << 16) + 1
  while true {
    var received = 0
    let part = [UInt8](unsafeUninitializedCapacity: room) { buffer, count in
      received = read(file, buffer.baseAddress, room)
      count = max(received, 0)
    }
    if received < 0 && errno == EINTR { continue }
    guard received >= 0 else { throw Diagnostic(.unreadableFile, systemMessage(errno)) }
    if received == 0 { return bytes }
    bytes = bytes.isEmpty ? part : bytes + part
    if bytes.count == Int(status.st_size) { return bytes }
    room = 1 << 16
  }
}

/// A path with the closing zero that C wants.
func cPath(_ path: some Sequence<UInt8>) -> [CChar] { path.map { CChar(bitPattern: $0) } + [0] }

/// Whether a path, given as the bytes that the system takes, leads to something.
func exists(_ path: [UInt8]) -> Bool { access(cPath(path), F_OK) == 0 }

/// Whether anything is there, be it a link to nowhere.
func exists(_ path: String) -> Bool {
  var status = stat()
  return lstat(path, &status) == 0
}

/// The path without slashes at its end, which would make 'beside it' mean 'in it'.
func withoutEndingSlashes(_ path: String) -> String {
  let end = path.utf8.lastIndex { $0 != UInt8(ascii: "/") }
  guard let end else { return path.isEmpty ? "" : "/" }
  return String(path[...end])
}

/// The folder that a path is in; "." for a bare name.
func parentFolder(of path: String) -> String {
  let path = withoutEndingSlashes(path)
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : withoutEndingSlashes(String(path[..<slash]))
}

/// The names in a folder, "." and ".." left out; empty for what cannot be listed.
func names(in folder: String) -> [String] {
  guard let stream = opendir(folder) else { return [] }
  defer { closedir(stream) }
  var names: [String] = []
  while let entry = readdir(stream) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != "." && name != ".." { names.append(name) }
  }
  return names
}

/// Makes a folder and those above it; it is no fault when it is there.
///
/// Throws a `Diagnostic` (`unwritableFile`, `outOfSpace`).
func makeFolder(_ path: String) throws {
  if mkdir(path, 0o777) == 0 || errno == EEXIST { return }
  var code = errno
  if code == ENOENT && parentFolder(of: path) != path {
    try makeFolder(parentFolder(of: path))
    if mkdir(path, 0o777) == 0 { return }
    code = errno
  }
  throw writeFault(writing: "'\(path)'", code: code)
}

/// Removes a folder with all that it holds, or a file. What is not there is no fault.
///
/// Throws a `Diagnostic` (`unwritableFile`).
func removeTree(_ path: String) throws {
  if unlink(path) == 0 || errno == ENOENT { return }
  guard errno == EISDIR else { throw writeFault(writing: "'\(path)'", code: errno) }
  for name in names(in: path) { try removeTree("\(path)/\(name)") }
  guard rmdir(path) == 0 || errno == ENOENT else { throw writeFault(writing: "'\(path)'", code: errno) }
}

/// Throws a `Diagnostic` (`unwritableFile`, `outOfSpace`).
func move(_ path: String, to target: String) throws {
  guard rename(path, target) == 0 else { throw writeFault(writing: "'\(target)'", code: errno) }
}

/// Waits until the names in a folder are on disk: a rename lasts only then.
///
/// Throws a `Diagnostic` (`unwritableFile`, `outOfSpace`).
func syncFolder(_ path: String) throws {
  let folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard folder >= 0 else { throw writeFault(writing: "'\(path)'", code: errno) }
  defer { close(folder) }
  // Some file systems cannot sync a folder; the names are in their places all the same.
  guard fsync(folder) == 0 || errno == EINVAL else { throw writeFault(writing: "'\(path)'", code: errno) }
}

func isDiskFull(at path: String) -> Bool {
  var status = statvfs()
  return statvfs(path, &status) == 0 && status.f_bavail * status.f_frsize < 1 << 20
}

/// The fault of a write that failed with this error of the system.
func writeFault(writing what: String, code: Int32, reason: String? = nil) -> Diagnostic {
  let reason = reason ?? systemMessage(code)
  if [ENOSPC, EDQUOT, EFBIG].contains(code) {
    return Diagnostic(.outOfSpace, "cannot write \(what): its disk is full (\(reason)); free some space there")
  }
  return Diagnostic(.unwritableFile, "cannot write \(what): \(reason)")
}

func systemMessage(_ code: Int32) -> String { String(cString: strerror(code)) }
