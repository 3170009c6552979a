import Diagnostics

/// One record of a database, in the database's own memory: it may be read until its cursor moves or is let go.
package struct Record {
  package let key: UnsafeRawBufferPointer
  package let value: UnsafeRawBufferPointer
}

/// A database of records in the order of their keys (byte by byte), open for reading.
package protocol RecordDatabase: AnyObject, Sendable {
  /// The path as the user gave it.
  var path: String { get }
  /// The number of records, at least 1.
  var count: Int { get }

  /// A cursor before the first record. Cursors of one database may be used by several threads at once, one thread each.
  ///
  /// Throws a `Diagnostic` (`badDatabase`).
  func makeCursor() throws -> any RecordCursor
}

/// A place in a database. It keeps its database open. Every method throws a `Diagnostic` (`badDatabase`).
package protocol RecordCursor: AnyObject {
  /// The record after the last one that this cursor gave; the first one after the last of the database.
  func next() throws -> Record

  /// The record with this key, or nil. The next one follows it.
  func record(forKey key: UnsafeRawBufferPointer) throws -> Record?

  /// The record at a position from 0 to `count` - 1 in the order of keys, in about the time of reading it: an index is
  /// built on first use, with one pass over the keys. The next one follows it.
  func record(at position: Int) throws -> Record
}

/// The kinds of databases that are written.
package enum DatabaseBackend: String, CaseIterable, Sendable {
  case lmdb
}

/// Opens a database for reading: an LMDB or a LevelDB, whichever is there.
///
/// Throws a `Diagnostic` (`badDatabase`) for a path that is missing or holds something else, and for a database that is
/// damaged or empty.
package func openDatabase(_ path: String) throws -> any RecordDatabase {
  if LevelDBDatabase.isOne(path) { return try LevelDBDatabase(path: path) }
  return try LMDBDatabase(path: path)
}
