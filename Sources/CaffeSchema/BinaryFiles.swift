import Diagnostics
import Foundation
import SwiftProtobuf

/// Reads a message in wire form: `.caffemodel`, `.solverstate`, `.binaryproto`.
///
/// Fields that the schema does not know are kept, not refused. Throws a `Diagnostic` for a file that cannot be read or
/// is no such message.
package func readBinary<M: SwiftProtobuf.Message>(_ path: String, as type: M.Type = M.self) throws -> M {
  let bytes = try readFile(path)
  do {
    return try M(serializedBytes: bytes)
  } catch {
    let wanted = SchemaDescription.shortName(M.protoMessageName)
    switch FileKind(bytes) {
    case .text, .blank:
      throw Diagnostic(.unreadableFile, "'\(path)' is a text file; a binary \(wanted) is wanted here")
    case .utf16:
      throw Diagnostic(.unreadableFile, "'\(path)' is UTF-16 text; a binary \(wanted) is wanted here")
    case .hdf5:
      throw Diagnostic(.unreadableFile, "'\(path)' is an HDF5 file; a binary \(wanted) is wanted here")
    case .binary:
      throw Diagnostic(.unreadableFile, "'\(path)' is damaged, cut short, or no \(wanted): \(reason(error))")
    }
  }
}

/// Writes a message in wire form, beside the target and then renamed; see `writeFile`.
package func writeBinary(_ message: some SwiftProtobuf.Message, to path: String) throws {
  try writeFile(binaryForm(of: message, for: path), to: path)
}

/// A message in wire form, to be written to `path`.
///
/// Throws `unwritableFile` where the format ends.
package func binaryForm(of message: some SwiftProtobuf.Message, for path: String) throws -> Data {
  do {
    return try message.serializedBytes(partial: true)
  } catch {
    throw Diagnostic(
      .unwritableFile, "cannot write '\(path)': the format ends at 2 GiB a file; snapshot_format: HDF5 does not")
  }
}

private func reason(_ error: any Error) -> String {
  switch error {
  case BinaryDecodingError.truncated: "it ends in the middle of a field"
  case BinaryDecodingError.invalidUTF8: "a string in it is not UTF-8"
  case BinaryDecodingError.missingRequiredFields: "a required field is missing"
  default: "its fields do not fit together"
  }
}
