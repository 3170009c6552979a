import Foundation
import Testing

@testable import Records

/// Where the fixtures of the converter are.
let convertFixtures = Bundle.module.bundlePath + "/Fixtures/convert"

/// A new folder that goes away with the test.
final class TestFolder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "records-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

  @discardableResult
  func write(_ bytes: [UInt8], to name: String) throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: self(name)))
    return self(name)
  }

  @discardableResult
  func write(_ text: String, to name: String) throws -> String { try write(Array(text.utf8), to: name) }

  /// All names in a folder of it, hidden ones too, in order.
  func names(in folder: String = ".") -> [String] { Records.names(in: self(folder)).sorted() }
}

/// All records of an LMDB, in order.
func records(of path: String) throws -> [(key: String, value: [UInt8])] {
  let database = try openDatabase(path)
  let cursor = try database.makeCursor()
  return try (0..<database.count).map { _ in
    let record = try cursor.next()
    return (String(decoding: record.key, as: UTF8.self), Array(record.value))
  }
}

func contents(of path: String) throws -> [UInt8] { try readFile(path.utf8) }
