import CLMDB
import Diagnostics

/// The handle of an LMDB environment, which threads may share.
final class LMDBEnvironment: @unchecked Sendable {
  struct Statistics {
    var entries: Int
    var pageSize: Int
    var lastPage: Int
  }

  let handle: OpaquePointer

  /// Opens `folder/data.mdb`, or makes it where the flags allow it.
  ///
  /// - Parameter mapSize: bytes of memory mapped; a larger file is mapped whole.
  /// Throws a `Diagnostic` (`badDatabase`).
  init(folder: String, flags: Int32, mapSize: Int) throws {
    var environment: OpaquePointer?
    var code = mdb_env_create(&environment)
    if code == MDB_SUCCESS { code = mdb_env_set_mapsize(environment, mapSize) }
    if code == MDB_SUCCESS { code = mdb_env_open(environment, folder, UInt32(flags), 0o644) }
    guard code == MDB_SUCCESS, let environment else {
      mdb_env_close(environment)
      let reason =
        switch code {
        case MDB_INVALID, MDB_CORRUPTED: "data.mdb is no LMDB file, or a damaged one"
        case MDB_VERSION_MISMATCH: "it was written by another version of LMDB"
        default: String(cString: mdb_strerror(code))
        }
      throw Diagnostic(.badDatabase, "cannot open database '\(folder)': \(reason)")
    }
    handle = environment
  }

  deinit { mdb_env_close(handle) }

  var statistics: Statistics {
    var counts = MDB_stat()
    mdb_env_stat(handle, &counts)
    var information = MDB_envinfo()
    mdb_env_info(handle, &information)
    return Statistics(
      entries: Int(counts.ms_entries), pageSize: Int(counts.ms_psize), lastPage: Int(information.me_last_pgno))
  }

  /// The number of the last transaction that anybody committed.
  var lastTransaction: Int {
    var information = MDB_envinfo()
    mdb_env_info(handle, &information)
    return Int(information.me_last_txnid)
  }
}
