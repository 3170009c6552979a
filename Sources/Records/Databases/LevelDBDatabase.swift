import CLevelDB
import Diagnostics
import Glibc

/// A LevelDB, open for reading: a folder with a file `CURRENT`.
///
/// Nothing in the folder is changed, not even locked: what LevelDB writes while it opens a database stays in memory. So
/// folders that cannot be written to serve as well; nobody may write to it meanwhile. Opening takes one pass over all
/// records, since a LevelDB does not know how many it holds.
final class LevelDBDatabase: RecordDatabase, @unchecked Sendable {
  let path: String
  let count: Int
  fileprivate let handle: OpaquePointer
  private let index: KeyIndex

  /// Whether a LevelDB seems to be there.
  static func isOne(_ path: String) -> Bool { access("\(path)/CURRENT", F_OK) == 0 }

  init(path: String) throws {
    self.path = path
    var message = [CChar](repeating: 0, count: Int(CLEVELDB_MESSAGE))
    guard let handle = cleveldb_open(path, &message) else {
      throw Diagnostic(.badDatabase, "cannot open database '\(path)': \(text(of: message))")
    }
    self.handle = handle
    do {
      (count, index) = try LevelDBDatabase.count(handle, path)
    } catch {
      cleveldb_close(handle)
      throw error
    }
  }

  deinit { cleveldb_close(handle) }

  func makeCursor() throws -> any RecordCursor { LevelDBCursor(self) }

  fileprivate func keyIndex() -> KeyIndex { index }

  private static func count(_ handle: OpaquePointer, _ path: String) throws -> (Int, KeyIndex) {
    let cursor = cleveldb_make_cursor(handle)
    defer { cleveldb_free_cursor(cursor) }
    var message = [CChar](repeating: 0, count: Int(CLEVELDB_MESSAGE))
    var count = 0
    var index = KeyIndex()
    var outcome = cleveldb_first(cursor, &message)
    while outcome == 1 {
      index.append(UnsafeRawBufferPointer(cleveldb_key(cursor)))
      count += 1
      outcome = cleveldb_next(cursor, &message)
    }
    guard outcome == 0 else { throw damaged(path, message) }
    guard count > 0 else { throw Diagnostic(.badDatabase, "database '\(path)' holds no records") }
    return (count, index)
  }
}

private final class LevelDBCursor: RecordCursor {
  private let database: LevelDBDatabase
  private let cursor: OpaquePointer?
  private var isBeforeFirst = true

  init(_ database: LevelDBDatabase) {
    self.database = database
    cursor = cleveldb_make_cursor(database.handle)
  }

  deinit { cleveldb_free_cursor(cursor) }

  func next() throws -> Record {
    if !isBeforeFirst, let record = try move(cleveldb_next) { return record }
    guard let first = try move(cleveldb_first) else {
      throw Diagnostic(.badDatabase, "database '\(database.path)' lost its records while it was being read")
    }
    return first
  }

  func record(forKey key: UnsafeRawBufferPointer) throws -> Record? {
    let record = try move { cleveldb_seek($0, key.baseAddress, key.count, $1) }
    guard let record, record.key.elementsEqual(key) else { return nil }
    return record
  }

  func record(at position: Int) throws -> Record {
    precondition(position >= 0 && position < database.count)
    let index = database.keyIndex()
    var record = try index.withLandmark(before: position) { key in
      try move { cleveldb_seek($0, key.baseAddress, key.count, $1) }
    }
    for _ in 0..<index.distance(to: position) { record = try move(cleveldb_next) }
    guard let record else {
      throw Diagnostic(.badDatabase, "database '\(database.path)' lost records while it was being read")
    }
    return record
  }

  private func move(
    _ step: (OpaquePointer?, UnsafeMutablePointer<CChar>) -> Int32
  ) throws -> Record? {
    isBeforeFirst = false
    var message = [CChar](repeating: 0, count: Int(CLEVELDB_MESSAGE))
    switch step(cursor, &message) {
    case 1:
      return Record(
        key: UnsafeRawBufferPointer(cleveldb_key(cursor)), value: UnsafeRawBufferPointer(cleveldb_value(cursor)))
    case 0: return nil
    default: throw damaged(database.path, message)
    }
  }
}

private func damaged(_ path: String, _ message: [CChar]) -> Diagnostic {
  Diagnostic(.badDatabase, "cannot read database '\(path)': \(text(of: message))")
}

extension UnsafeRawBufferPointer {
  fileprivate init(_ bytes: cleveldb_bytes) { self.init(start: bytes.bytes, count: bytes.count) }
}
