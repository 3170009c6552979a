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
    return try decode(cursor.next()).shape
  }

  /// A record's values, wherever they are kept.
  struct Values {
    enum Storage {
      /// A plane for each channel.
      case planes(Data)
      case floats([Float])
      /// Decoded: the channels of a pixel side by side.
      case image(Image)
    }

    let shape: Shape
    let label: Float
    let storage: Storage
  }

  /// - Throws: `badRecord` that names the record's key and the database.
  func decode(_ record: Record) throws -> Values {
    let datum: Datum
    do {
      datum = try Datum(serializedBytes: record.borrowedValue)
    } catch {
      throw fault(record, "is no Datum; the record is damaged, or the database holds something else")
    }
    if datum.encoded { return try decodeImage(datum, record) }
    let shape = Shape([Int(datum.channels), Int(datum.height), Int(datum.width)])
    guard shape.dims.allSatisfy({ $0 > 0 }) else { throw fault(record, "says it is \(shape), which is no shape") }
    let count = datum.data.isEmpty ? datum.floatData.count : datum.data.count
    guard count == shape.count else {
      throw fault(record, "holds \(count) values, but says it is \(shape)")
    }
    return Values(
      shape: shape, label: Float(datum.label),
      storage: datum.data.isEmpty ? .floats(datum.floatData) : .planes(datum.data))
  }

  private func decodeImage(_ datum: Datum, _ record: Record) throws -> Values {
    do {
      let image = try datum.data.withUnsafeBytes { try Image(decoding: $0, as: channels) }
      return Values(
        shape: [image.channels, image.height, image.width], label: Float(datum.label), storage: .image(image))
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
  fileprivate var borrowedValue: Data {
    guard let base = value.baseAddress else { return Data() }
    return Data(bytesNoCopy: UnsafeMutableRawPointer(mutating: base), count: value.count, deallocator: .none)
  }
}
