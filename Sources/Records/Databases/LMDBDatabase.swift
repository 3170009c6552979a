import CLMDB
import Diagnostics
import Glibc
import Synchronization

/// An LMDB environment, open for reading: a folder with the file `data.mdb`.
///
/// It is opened without LMDB's lock file, so that folders and file systems that cannot be written to serve as well, and
/// one process may open a database twice. The price: nobody may write to it meanwhile. Cursors notice at the end of a
/// pass if somebody did.
final class LMDBDatabase: RecordDatabase {
  let path: String
  let count: Int
  fileprivate let environment: LMDBEnvironment
  private let positions = Mutex<KeyIndex?>(nil)

  init(path: String) throws {
    try checkIsLMDB(path)
    self.path = path
    environment = try LMDBEnvironment(
      folder: path, flags: MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, mapSize: 1 << 20)
    let statistics = environment.statistics
    let needed = (statistics.lastPage + 1) * statistics.pageSize
    let size = fileSize("\(path)/data.mdb")
    // LMDB maps the file and would die of a bus error on the pages that are missing.
    guard size >= needed else {
      throw Diagnostic(
        .badDatabase, "database '\(path)' is cut short: data.mdb has \(size) of \(needed) bytes; copy it again")
    }
    guard statistics.entries > 0 else { throw Diagnostic(.badDatabase, "database '\(path)' holds no records") }
    count = statistics.entries
  }

  func makeCursor() throws -> any RecordCursor { try LMDBCursor(self) }

  /// Where each position is found; built once for all cursors.
  fileprivate func keyIndex() throws -> KeyIndex {
    try positions.withLock { index in
      if let index { return index }
      let scan = try LMDBCursor(self)
      var built = KeyIndex()
      var entry = try scan.get(MDB_FIRST)
      while let record = entry {
        built.append(record.key)
        entry = try scan.get(MDB_NEXT)
      }
      index = built
      return built
    }
  }
}

/// A cursor in a read-only transaction of its own, which sees the database as it was when the cursor was made.
private final class LMDBCursor: RecordCursor {
  private let database: LMDBDatabase
  private let transaction: OpaquePointer
  private let cursor: OpaquePointer

  init(_ database: LMDBDatabase) throws {
    self.database = database
    var transaction: OpaquePointer?
    var cursor: OpaquePointer?
    var main: MDB_dbi = 0
    var code = mdb_txn_begin(database.environment.handle, nil, UInt32(MDB_RDONLY), &transaction)
    if code == MDB_SUCCESS { code = mdb_dbi_open(transaction, nil, 0, &main) }
    if code == MDB_SUCCESS { code = mdb_cursor_open(transaction, main, &cursor) }
    guard let transaction, let cursor else {
      mdb_txn_abort(transaction)
      throw damaged(database.path, code)
    }
    self.transaction = transaction
    self.cursor = cursor
  }

  deinit {
    mdb_cursor_close(cursor)
    mdb_txn_abort(transaction)
  }

  func next() throws -> Record {
    if let record = try get(MDB_NEXT) { return record }
    guard database.environment.lastTransaction == mdb_txn_id(transaction) else {
      throw Diagnostic(.badDatabase, "database '\(database.path)' was written to while it was being read")
    }
    guard let first = try get(MDB_FIRST) else { throw damaged(database.path, MDB_NOTFOUND) }
    return first
  }

  func record(forKey key: UnsafeRawBufferPointer) throws -> Record? { try get(MDB_SET_KEY, key) }

  func record(at position: Int) throws -> Record {
    precondition(position >= 0 && position < database.count)
    let index = try database.keyIndex()
    var record = try index.withLandmark(before: position) { try get(MDB_SET_KEY, $0) }
    for _ in 0..<index.distance(to: position) { record = try get(MDB_NEXT) }
    guard let record else { throw damaged(database.path, MDB_NOTFOUND) }
    return record
  }

  /// Moves as LMDB's operation says; nil where there is no such record.
  fileprivate func get(_ operation: MDB_cursor_op, _ key: UnsafeRawBufferPointer? = nil) throws -> Record? {
    var key = MDB_val(mv_size: key?.count ?? 0, mv_data: UnsafeMutableRawPointer(mutating: key?.baseAddress))
    var value = MDB_val()
    let code = mdb_cursor_get(cursor, &key, &value, operation)
    if code == MDB_NOTFOUND { return nil }
    guard code == MDB_SUCCESS else { throw damaged(database.path, code) }
    return Record(
      key: UnsafeRawBufferPointer(start: key.mv_data, count: key.mv_size),
      value: UnsafeRawBufferPointer(start: value.mv_data, count: value.mv_size))
  }
}

private func damaged(_ path: String, _ code: Int32) -> Diagnostic {
  Diagnostic(.badDatabase, "cannot read database '\(path)': \(String(cString: mdb_strerror(code)))")
}

private func fileSize(_ path: String) -> Int {
  var status = stat()
  return stat(path, &status) == 0 ? Int(status.st_size) : 0
}

/// Tells apart what LMDB itself reports as one error, or not at all.
private func checkIsLMDB(_ path: String) throws {
  var status = stat()
  guard stat(path, &status) == 0 else {
    let reason = errno == ENOENT || errno == ENOTDIR ? "there is no such folder" : String(cString: strerror(errno))
    throw Diagnostic(.badDatabase, "cannot open database '\(path)': \(reason)")
  }
  guard status.st_mode & S_IFMT == S_IFDIR else {
    throw Diagnostic(
      .badDatabase, "cannot open database '\(path)': it is a file; an LMDB is a folder with the file data.mdb")
  }
  if stat("\(path)/data.mdb", &status) == 0 {
    // LMDB would take it for a database to be made.
    if status.st_size > 0 { return }
    throw Diagnostic(.badDatabase, "cannot open database '\(path)': data.mdb is empty")
  }
  throw Diagnostic(
    .badDatabase,
    "cannot open database '\(path)': it is no LMDB, for it holds no file data.mdb, and no LevelDB, for it holds no file "
      + "CURRENT")
}
