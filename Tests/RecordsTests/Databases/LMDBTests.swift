import CLMDB
import Diagnostics
import Foundation
import Testing

@testable import Records

@Suite struct LMDBReadingTests {
  static let golden = "\(convertFixtures)/label"

  @Test func readsInTheOrderOfKeysAndWrapsAround() throws {
    let database = try openDatabase(LMDBReadingTests.golden)
    #expect(database.count == 19)
    let cursor = try database.makeCursor()
    let keys = try (0..<40).map { _ in String(decoding: try cursor.next().key, as: UTF8.self) }
    #expect(keys[0] == "00000000label_images/alpha.png")
    #expect(keys[18] == "00000018label_images/progressive.jpg")
    #expect(Array(keys[..<19]) == keys[..<19].sorted())
    #expect(keys[19..<38] == keys[..<19])
  }

  @Test func findsKeys() throws {
    let cursor = try openDatabase(LMDBReadingTests.golden).makeCursor()
    func find(_ key: String) throws -> Record? {
      try Array(key.utf8).withUnsafeBytes { try cursor.record(forKey: $0) }
    }
    let found = try #require(try find("00000007label_images/color.png"))
    #expect(found.value.count == 31)
    #expect(String(decoding: try cursor.next().key, as: UTF8.self) == "00000008label_images/exif_mirror.jpg")
    #expect(try find("00000007") == nil)
  }

  @Test func findsPositions() throws {
    let folder = try TestFolder()
    let writer = try LMDBWriter(folder: folder.path)
    for i in 0..<1000 {
      try writer.put(key: Array("key \(10_000 + i)".utf8), value: [UInt8](repeating: 1, count: i % 50))
    }
    try writer.finish()
    let database = try openDatabase(folder.path)
    let cursors = try [database.makeCursor(), database.makeCursor()]
    for position in shuffledOrder(count: 1000, seed: 3) {
      let record = try cursors[position % 2].record(at: position)
      #expect(String(decoding: record.key, as: UTF8.self) == "key \(10_000 + position)")
    }
    #expect(String(decoding: try cursors[0].record(at: 999).key, as: UTF8.self) == "key 10999")
    #expect(String(decoding: try cursors[0].next().key, as: UTF8.self) == "key 10000")
  }

  @Test func needsNoPermissionToWrite() throws {
    let folder = try TestFolder()
    let files = FileManager.default
    try files.copyItem(atPath: LMDBReadingTests.golden, toPath: folder("db"))
    try files.setAttributes([.posixPermissions: 0o444], ofItemAtPath: folder("db/data.mdb"))
    try files.setAttributes([.posixPermissions: 0o555], ofItemAtPath: folder("db"))
    let first = try openDatabase(folder("db"))
    let second = try openDatabase(folder("db"))
    #expect(first.count == second.count)
    _ = try first.makeCursor().next()
    _ = try second.makeCursor().next()
    #expect(folder.names(in: "db") == ["data.mdb"])
    try files.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder("db"))
  }

  @Test func noticesThatItIsWrittenTo() throws {
    let folder = try TestFolder()
    let writer = try LMDBWriter(folder: folder.path)
    try writer.put(key: [1], value: [1])
    try writer.finish()
    let cursor = try openDatabase(folder.path).makeCursor()
    _ = try cursor.next()
    try writer.put(key: [2], value: [2])
    try writer.finish()
    let fault = #expect(throws: Diagnostic.self) { _ = try cursor.next() }
    #expect(fault?.message.hasSuffix("was written to while it was being read") == true)
  }

  /// What is made in a folder, and what the message says then.
  static let faults: [(make: @Sendable (TestFolder) throws -> Void, message: String)] = [
    ({ _ in }, "there is no such folder"),
    ({ try $0.write("text", to: "db") }, "it is a file; an LMDB is a folder with the file data.mdb"),
    ({ try $0.makeFolder("db") }, "for it holds no file CURRENT"),
    (
      {
        try $0.makeFolder("db")
        try $0.write("MANIFEST-000002\n", to: "db/CURRENT")
      },
      "Corruption: CURRENT points to a non-existent file"
    ),
    ({ try $0.writeDatabase([]) }, "data.mdb is empty"),
    ({ try $0.writeDatabase(Array(repeating: 7, count: 100_000)) }, "data.mdb is no LMDB file, or a damaged one"),
    ({ try $0.writeDatabase(Array($0.golden()[..<50])) }, "data.mdb is no LMDB file, or a damaged one"),
    ({ try $0.writeDatabase(Array($0.golden()[..<5000])) }, "data.mdb has 5000 of 12288 bytes; copy it again"),
    ({ try $0.writeDatabase(Array($0.golden()[..<8192])) }, "data.mdb has 8192 of 12288 bytes; copy it again"),
    (
      {
        try $0.makeFolder("db")
        try LMDBWriter(folder: $0("db")).finish()
      }, "holds no records"
    ),
  ]

  @Test(arguments: faults.indices) func saysWhatIsWrong(_ index: Int) throws {
    let folder = try TestFolder()
    try LMDBReadingTests.faults[index].make(folder)
    let fault = #expect(throws: Diagnostic.self) { try openDatabase(folder("db")) }
    #expect(fault?.code == .badDatabase)
    let message = fault?.message ?? ""
    #expect(message.contains(folder("db")) && message.contains(LMDBReadingTests.faults[index].message))
  }
}

extension TestFolder {
  func makeFolder(_ name: String) throws {
    try FileManager.default.createDirectory(atPath: self(name), withIntermediateDirectories: false)
  }

  fileprivate func writeDatabase(_ bytes: [UInt8]) throws {
    try makeFolder("db")
    try write(bytes, to: "db/data.mdb")
  }

  fileprivate func golden() throws -> [UInt8] { try contents(of: "\(LMDBReadingTests.golden)/data.mdb") }
}

@Suite struct LMDBWritingTests {
  /// More than the first map holds, so that it grows, and in several batches.
  @Test func growsAndGivesBackWhatWasPut() throws {
    let folder = try TestFolder()
    let writer = try LMDBWriter(folder: folder.path)
    for i in 0..<90 {
      try writer.put(key: Array("key \(100 + i)".utf8), value: [UInt8](repeating: UInt8(i), count: 500_000 + i))
    }
    try writer.finish()
    let read = try records(of: folder.path)
    #expect(read.count == 90)
    for (i, record) in read.enumerated() {
      #expect(record.key == "key \(100 + i)")
      #expect(record.value.count == 500_000 + i && record.value.allSatisfy { $0 == UInt8(i) })
    }
    #expect(folder.names() == ["data.mdb"])
    // Not as large as its map: the file takes what its records take.
    #expect(try contents(of: folder("data.mdb")).count < 46 << 20)
  }

  @Test func refusesKeysThatLMDBCannotTake() throws {
    let folder = try TestFolder()
    let writer = try LMDBWriter(folder: folder.path)
    for count in [0, 512] {
      let fault = #expect(throws: Diagnostic.self) { try writer.put(key: Array(repeating: 1, count: count), value: []) }
      #expect(fault?.code == .badRecord)
    }
    try writer.put(key: Array(repeating: 1, count: 511), value: [])
    try writer.finish()
  }

  @Test(.enabled(if: SmallDisk.isPossible, "only root may mount the small disk that this needs"))
  func saysThatTheDiskIsFull() throws {
    let disk = try SmallDisk()
    let writer = try LMDBWriter(folder: disk.path)
    let fault = #expect(throws: Diagnostic.self) {
      for i in 0..<200 { try writer.put(key: Array("\(1000 + i)".utf8), value: [UInt8](repeating: 1, count: 200_000)) }
      try writer.finish()
    }
    #expect(fault?.code == .outOfSpace)
    #expect(fault?.message.contains(disk.path) == true)
  }
}

/// A disk of 4 MiB in memory.
final class SmallDisk {
  static let isPossible = (try? SmallDisk()) != nil

  private let folder: TestFolder
  var path: String { folder.path }

  init() throws {
    folder = try TestFolder()
    guard mount("tmpfs", folder.path, "tmpfs", 0, "size=4m") == 0 else {
      throw Diagnostic(.machine, "cannot mount a disk")
    }
  }

  deinit { umount2(folder.path, Int32(MNT_DETACH)) }
}
