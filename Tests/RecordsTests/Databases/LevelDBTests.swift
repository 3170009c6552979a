import CaffeSchema
import Diagnostics
import Foundation
import Testing

@testable import Records

/// A database that plyvel wrote: records 0 to 39 in tables (older values beneath them), 40 to 58 in the log alone.
@Suite struct LevelDBTests {
  static let golden = Bundle.module.bundlePath + "/Fixtures/leveldb"
  private let folder: TestFolder

  init() throws { folder = try TestFolder() }

  /// A copy that may be damaged, with its name.
  private func copy() throws -> String {
    let path = folder("db")
    try? FileManager.default.removeItem(atPath: path)
    try FileManager.default.copyItem(atPath: Self.golden, toPath: path)
    return path
  }

  private func contents(of path: String) throws -> [String: Data] {
    var found: [String: Data] = [:]
    for name in names(in: path) { found[name] = try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(name)")) }
    return found
  }

  @Test func readsTablesAndLog() throws {
    let database = try openDatabase(Self.golden)
    #expect(database.count == 59)
    let cursor = try database.makeCursor()
    for round in 0..<2 {
      for index in 0..<59 {
        let record = try cursor.next()
        let digits = String(index)
        #expect(String(decoding: record.key, as: UTF8.self) == String(repeating: "0", count: 8 - digits.count) + digits)
        let datum = try Datum(serializedBytes: Data(record.value))
        #expect(datum.label == Int32(index), "round \(round)")
        #expect(datum.data == Data(repeating: UInt8(index), count: 6))
      }
    }
  }

  @Test func findsRecords() throws {
    let cursor = try openDatabase(Self.golden).makeCursor()
    for position in [58, 0, 17, 40, 39, 16] {
      #expect(try Datum(serializedBytes: Data(cursor.record(at: position).value)).label == Int32(position))
    }
    #expect(try Datum(serializedBytes: Data(cursor.next().value)).label == 17)
    let key = Array("00000041".utf8)
    #expect(try key.withUnsafeBytes { try cursor.record(forKey: $0) } != nil)
    #expect(try Datum(serializedBytes: Data(cursor.next().value)).label == 42)
    let missing = Array("0000004".utf8)
    #expect(try missing.withUnsafeBytes { try cursor.record(forKey: $0) } == nil)
  }

  @Test func changesNothingOnDisk() throws {
    let path = try copy()
    let before = try contents(of: path)
    do {
      // Two at once: there is no lock.
      let first = try openDatabase(path)
      let second = try openDatabase(path)
      let cursors = (try first.makeCursor(), try second.makeCursor())
      for _ in 0..<200 { #expect(try Array(cursors.0.next().key) == Array(cursors.1.next().key)) }
    }
    #expect(try contents(of: path) == before)
  }

  @Test func aFolderThatCannotBeWritten() throws {
    let path = try copy()
    try FileManager.default.setAttributes([.posixPermissions: 0o555], ofItemAtPath: path)
    defer { try? FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path) }
    #expect(try openDatabase(path).count == 59)
  }

  private func fault(_ path: String) -> String {
    do {
      let database = try openDatabase(path)
      return "\(database.count) records"
    } catch {
      return "\(error)".replacing(folder.path, with: "WORK")
    }
  }

  @Test func saysWhatIsDamaged() throws {
    let path = try copy()
    let table = try #require(names(in: path).filter { $0.hasSuffix(".ldb") || $0.hasSuffix(".sst") }.sorted().last)
    var bytes = try Data(contentsOf: URL(fileURLWithPath: "\(path)/\(table)"))
    bytes[20] ^= 0xff
    try bytes.write(to: URL(fileURLWithPath: "\(path)/\(table)"))
    #expect(fault(path) == "error: cannot read database 'WORK/db': Corruption: block checksum mismatch")
    try FileManager.default.removeItem(atPath: "\(path)/\(table)")
    #expect(
      fault(path).hasPrefix("error: cannot open database 'WORK/db': Corruption: 1 missing files; e.g.: WORK/db/"))
    try Data("MANIFEST-nothing\n".utf8).write(to: URL(fileURLWithPath: path + "/CURRENT"))
    #expect(
      fault(path)
        == "error: cannot open database 'WORK/db': Corruption: CURRENT points to a non-existent file: "
        + "NotFound: WORK/db/MANIFEST-nothing: No such file or directory")
    try Data().write(to: URL(fileURLWithPath: path + "/CURRENT"))
    #expect(
      fault(path) == "error: cannot open database 'WORK/db': Corruption: CURRENT file does not end with newline")
  }

  @Test func aFolderWithoutEither() throws {
    try folder.makeFolder("db")
    #expect(
      fault(folder("db"))
        == "error: cannot open database 'WORK/db': it is no LMDB, for it holds no file data.mdb, and no LevelDB, for it "
        + "holds no file CURRENT")
  }
}
