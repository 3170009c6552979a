import CHDF5
import Glibc

/// At the end of the program the library would close what a damaged file left open, in a loop that may not end.
private let withoutExitHandler: Void = { H5dont_atexit() }()

/// Runs calls of the library without its own printing of faults, which each thread has to turn off.
func quietly<Result>(_ body: () throws -> Result) rethrows -> Result {
  withoutExitHandler
  chdf5_be_quiet()
  return try body()
}

/// An object of the library, closed with its owner.
final class Handle: @unchecked Sendable {
  let id: hid_t
  private let close: @Sendable (hid_t) -> herr_t

  /// - Returns: nil for the negative number by which the library says that a call failed.
  init?(_ id: hid_t, close: @escaping @Sendable (hid_t) -> herr_t) {
    guard id >= 0 else { return nil }
    self.id = id
    self.close = close
  }

  deinit { _ = close(id) }
}

/// What the library says of its last fault, and the system's error behind it, if there was one.
func lastFault() -> (reason: String, systemCode: Int32?) {
  var buffer = [CChar](repeating: 0, count: 512)
  chdf5_last_fault(&buffer, buffer.count)
  let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  // 'unable to open file: name = …, errno = 2, error message = …': the system's own words are enough.
  guard let found = text.range(of: "errno = "),
    let code = Int32(text[found.upperBound...].prefix { $0.isNumber }), code != 0
  else { return (text.isEmpty ? "HDF5 gives no reason" : text, nil) }
  return (String(cString: strerror(code)), code)
}

extension String {
  fileprivate func range(of part: String) -> Range<String.Index>? { ranges(of: part).first }
}
