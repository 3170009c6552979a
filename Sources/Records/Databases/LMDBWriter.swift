import CLMDB
import Diagnostics
import Glibc

/// Writes records into a new LMDB in an existing, empty folder.
///
/// Records are committed in batches; the memory map grows as needed, and the file is as large as its records. The same
/// records give the same file, byte for byte.
package final class LMDBWriter {
  /// The longest key that LMDB takes, in bytes.
  package static let longestKey = 511

  private static let batchSize = 16 << 20

  private let folder: String
  private let environment: LMDBEnvironment
  private var mapSize = 16 << 20
  private var batch: [(key: [UInt8], value: [UInt8])] = []
  private var batchBytes = 0

  /// Throws a `Diagnostic`.
  package init(folder: String) throws {
    self.folder = folder
    // Nobody else knows of the folder yet, and it is synced once at the end: neither locks nor syncs are needed.
    environment = try LMDBEnvironment(folder: folder, flags: MDB_NOLOCK | MDB_NOSYNC | MDB_NORDAHEAD, mapSize: mapSize)
  }

  /// Adds a record, or replaces the one with this key.
  ///
  /// Throws a `Diagnostic` (`outOfSpace`, `unwritableFile`, `badRecord`).
  package func put(key: [UInt8], value: [UInt8]) throws {
    guard !key.isEmpty && key.count <= LMDBWriter.longestKey else {
      throw Diagnostic(
        .badRecord, "a key of \(key.count) bytes; LMDB takes keys of 1 to \(LMDBWriter.longestKey) bytes")
    }
    batch.append((key, value))
    batchBytes += key.count + value.count
    if batchBytes >= LMDBWriter.batchSize { try commit() }
  }

  /// Commits what is left and waits until all is on disk.
  ///
  /// Throws a `Diagnostic` (`outOfSpace`, `unwritableFile`).
  package func finish() throws {
    try commit()
    try check(mdb_env_sync(environment.handle, 1))
  }

  private func commit() throws {
    var code = writeBatch()
    while code == MDB_MAP_FULL {
      mapSize *= 2
      try check(mdb_env_set_mapsize(environment.handle, mapSize))
      code = writeBatch()
    }
    try check(code)
    batch.removeAll(keepingCapacity: true)
    batchBytes = 0
  }

  /// All records of the batch in one transaction, or none of them. LMDB's code.
  private func writeBatch() -> Int32 {
    var transaction: OpaquePointer?
    var main: MDB_dbi = 0
    var code = mdb_txn_begin(environment.handle, nil, 0, &transaction)
    guard code == MDB_SUCCESS else { return code }
    code = mdb_dbi_open(transaction, nil, 0, &main)
    for (key, value) in batch {
      if code != MDB_SUCCESS { break }
      code = put(key, value, in: transaction, main)
    }
    if code != MDB_SUCCESS {
      mdb_txn_abort(transaction)
      return code
    }
    return mdb_txn_commit(transaction)
  }

  private func put(_ key: [UInt8], _ value: [UInt8], in transaction: OpaquePointer?, _ main: MDB_dbi) -> Int32 {
    key.withUnsafeBytes { key in
      value.withUnsafeBytes { value in
        var key = MDB_val(mv_size: key.count, mv_data: UnsafeMutableRawPointer(mutating: key.baseAddress))
        var value = MDB_val(mv_size: value.count, mv_data: UnsafeMutableRawPointer(mutating: value.baseAddress))
        return mdb_put(transaction, main, &key, &value, 0)
      }
    }
  }

  private func check(_ code: Int32) throws {
    if code == MDB_SUCCESS { return }
    // LMDB reports a write that stopped half-way, as on a full disk, as an input/output error.
    throw writeFault(
      writing: "database '\(folder)'", code: code == EIO && isDiskFull(at: folder) ? ENOSPC : code,
      reason: String(cString: mdb_strerror(code)))
  }
}
