import Foundation
import Records
import Testing

@testable import mtl

/// Runs the program itself, for what only a process shows.
@Suite final class ConversionProcessTests {
  /// Beside the test bundle.
  static let program = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    .appendingPathComponent("mtl")

  let folder: URL

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("mtl-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    let image = Image(height: 50, width: 60, channels: 3, pixels: (0..<9000).map { UInt8(truncatingIfNeeded: $0 / 7) })
    try Data(image.encoded(as: .png)).write(to: folder.appendingPathComponent("a.png"))
    try write(String(repeating: "a.png 1 2.5\n", count: 3000), to: "list.txt")
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  private func write(_ text: String, to name: String) throws {
    try Data(text.utf8).write(to: folder.appendingPathComponent(name))
  }

  private func names(in name: String = "") -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: folder.appendingPathComponent(name).path)) ?? []).sorted()
  }

  private func start(_ arguments: [String]) throws -> (process: Process, errors: Pipe) {
    let process = Process()
    let errors = Pipe()
    process.executableURL = ConversionProcessTests.program
    process.arguments = ["convert-multilabel"] + arguments
    process.currentDirectoryURL = folder
    process.standardError = errors
    try process.run()
    return (process, errors)
  }

  private func text(of errors: Pipe) -> String {
    String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
  }

  @Test func printsOneLineToAPipe() throws {
    let (process, errors) = try start(["list.txt", "db"])
    #expect(text(of: errors) == "wrote 3000 records with 2 labels each to db/image and db/label\n")
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(names() == ["a.png", "db", "list.txt"])
  }

  @Test func printsFaultsAndEndsWithOne() throws {
    try write("a.png 1\n" + String(repeating: "none.png 1\n", count: 60), to: "bad.txt")
    let (process, errors) = try start(["bad.txt", "db"])
    let lines = text(of: errors).split(separator: "\n")
    process.waitUntilExit()
    #expect(process.terminationStatus == 1)
    #expect(lines.count == 51)
    #expect(lines.first == "bad.txt:2: error: cannot read image 'none.png': there is no such file")
    #expect(lines.last == "and 10 more of this kind")
    #expect(names() == ["a.png", "bad.txt", "list.txt"])
  }

  @Test func endsWithUsageAnd64() throws {
    let (process, errors) = try start(["list.txt", "--thread", "2"])
    #expect(text(of: errors).hasPrefix("Error: Unknown option '--thread'. Did you mean '--threads'?"))
    process.waitUntilExit()
    #expect(process.terminationStatus == 64)
  }

  /// Killed while it builds, at several sizes of what it has built: nothing stands in the databases' place, and the next
  /// run succeeds and clears what is left.
  @Test(arguments: [0, 1, 1 << 20, 20 << 20], [["db"], ["--image-db", "i", "--label-db", "l"]])
  func leavesNoDatabaseWhenKilled(_ size: Int, _ target: [String]) throws {
    let (process, _) = try start(["list.txt"] + target)
    let built = folder.appendingPathComponent(
      target == ["db"] ? "db.incomplete/new/image/data.mdb" : "i.incomplete/new/data.mdb"
    ).path
    while process.isRunning {
      let attributes = try? FileManager.default.attributesOfItem(atPath: built)
      if let count = attributes?[.size] as? Int, count >= size { break }
      sched_yield()
    }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    let left = names()
    // A whole pair, should the run have been faster than the kill.
    let isWhole = left == ["a.png", "db", "list.txt"] || left == ["a.png", "i", "l", "list.txt"]
    #expect(isWhole || left.allSatisfy { !["db", "i", "l"].contains($0) })

    let (again, errors) = try start(["list.txt", "--force"] + target)
    #expect(text(of: errors).hasPrefix("wrote 3000 records"))
    again.waitUntilExit()
    #expect(names() == (target == ["db"] ? ["a.png", "db", "list.txt"] : ["a.png", "i", "l", "list.txt"]))
    for database in target == ["db"] ? ["db/image", "db/label"] : ["i", "l"] {
      #expect(try openDatabase(folder.appendingPathComponent(database).path).count == 3000)
    }
  }
}
