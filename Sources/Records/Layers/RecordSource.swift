import CaffeSchema
import Diagnostics
import Foundation
import Synchronization
import Tensors

/// A database of Datum records, opened on first use and only once.
final class RecordSource: Sendable {
  let path: String
  private let channels: ImageChannels
  private let opened = Mutex<(any RecordDatabase)?>(nil)

  init(path: String, channels: ImageChannels) {
    self.path = path
    self.channels = channels
  }

  func database() throws -> any RecordDatabase {
    try opened.withLock { database in
      if let database { return database }
      let new = try openDatabase(path)
      database = new
      return new
    }
  }

  /// C x H x W of the first record: what all records must have.
  func firstShape() throws -> Shape {
    let cursor = try database().makeCursor()
    return try withExtendedLifetime(cursor) { try decode(cursor.next()).values.shape }
  }

  /// A record's values and its integer label.
  struct Decoded {
    let values: RecordValues
    let label: Float
  }

  /// - Throws: `badRecord` that names the record's key and the database.
  func decode(_ record: Record) throws -> Decoded {
    let datum: Datum
    do {
      datum = try Datum(serializedBytes: record.borrowedValue)
    } catch {
      throw fault(record, "is no Datum; the record is damaged, or the database holds something else")
    }
    return try decode(datum, record)
  }

  /// The same of a Datum that was taken out of `record`.
  func decode(_ datum: Datum, _ record: Record) throws -> Decoded {
    if datum.encoded { return try decodeImage(datum, record) }
    let shape = Shape([Int(datum.channels), Int(datum.height), Int(datum.width)])
    guard shape.dims.allSatisfy({ $0 > 0 }) else { throw fault(record, "says it is \(shape), which is no shape") }
    let count = datum.data.isEmpty ? datum.floatData.count : datum.data.count
    // A damaged record may claim extents whose product is no number.
    guard shape.dims.allSatisfy({ $0 <= count }), shape[0] * shape[1] <= count, count == shape.count else {
      throw fault(record, "holds \(count) values, but says it is \(shape)")
    }
    return Decoded(
      values: RecordValues(shape: shape, storage: datum.data.isEmpty ? .floats(datum.floatData) : .planes(datum.data)),
      label: Float(datum.label))
  }

  private func decodeImage(_ datum: Datum, _ record: Record) throws -> Decoded {
    do {
      let image = try datum.data.withUnsafeBytes { try Image(decoding: $0, as: channels) }
      return Decoded(values: RecordValues(image), label: Float(datum.label))
    } catch let cause as Diagnostic {
      throw fault(record, "cannot be decoded: \(cause.message)")
    }
  }

  func fault(_ record: Record, _ message: String) -> Diagnostic {
    Diagnostic(.badRecord, "record '\(String(decoding: record.key, as: UTF8.self))' of database '\(path)' \(message)")
  }
}

extension Record {
  /// The value without a copy; decoding copies what it keeps.
  var borrowedValue: Data {
    guard let base = value.baseAddress else { return Data() }
    return Data(bytesNoCopy: UnsafeMutableRawPointer(mutating: base), count: value.count, deallocator: .none)
  }
}
