import Diagnostics
import Foundation
import Testing

@testable import Records

@Suite struct StagedFoldersTests {
  @Test func putsAllInPlace() throws {
    let folder = try TestFolder()
    let staged = try StagedFolders(targets: [folder("a/x/image"), folder("label/")])
    #expect(folder.names() == ["a", "label.incomplete"])
    for (i, built) in staged.folders.enumerated() { try fill(built, with: "new \(i)") }
    try staged.putInPlace()
    #expect(folder.names() == ["a", "label"])
    #expect(folder.names(in: "a/x") == ["image"])
    #expect(try text(in: folder("a/x/image")) == "new 0")
    #expect(try text(in: folder("label")) == "new 1")
  }

  @Test func replacesWhatIsThere() throws {
    let folder = try TestFolder()
    try folder.makeFolder("image")
    try fill(folder("image"), with: "old")
    let staged = try StagedFolders(targets: [folder("image")])
    try fill(staged.folders[0], with: "new")
    try staged.putInPlace()
    #expect(folder.names() == ["image"])
    #expect(try text(in: folder("image")) == "new")
  }

  @Test func leavesNothingWhenDiscarded() throws {
    let folder = try TestFolder()
    let staged = try StagedFolders(targets: [folder("a/b/image"), folder("a/label")])
    try fill(staged.folders[0], with: "new")
    staged.discard()
    #expect(folder.names().isEmpty)
  }

  @Test func isOneRunsAtATime() throws {
    let folder = try TestFolder()
    let staged = try StagedFolders(targets: [folder("image")])
    let fault = #expect(throws: Diagnostic.self) { try StagedFolders(targets: [folder("label"), folder("image")]) }
    #expect(fault?.code == .existingTarget)
    #expect(folder.names() == ["image.incomplete"])
    try fill(staged.folders[0], with: "new")
    try staged.putInPlace()
    #expect(folder.names() == ["image"])
  }

  /// Every state that a kill can leave, in order: folders with a word in each, and what is there after the next run's
  /// first look. `i` and `l` are the targets, image first; N and O are `new` and `old` beside them.
  static let killed: [(left: [String: String], after: [String: String])] = [
    // While it was building.
    (["l/new": "N"], [:]),
    (["i/new": "N", "l/new": "N"], [:]),
    (["i/new": "N", "l/new": "N", "i": "O", "l": "O"], ["i": "O", "l": "O"]),
    // While the old ones were taken away.
    (["i/new": "N", "l/new": "N", "i/old": "O", "l": "O"], ["i": "O", "l": "O"]),
    (["i/new": "N", "l/new": "N", "i/old": "O", "l/old": "O"], ["i": "O", "l": "O"]),
    // Between the two renames.
    (["i/new": "N", "i/old": "O", "l/old": "O", "l": "N"], ["i": "O", "l": "O"]),
    (["i/new": "N", "l": "N"], [:]),
    // After them.
    (["i": "N", "l": "N", "i/old": "O", "l/old": "O"], ["i": "N", "l": "N"]),
    (["i": "N", "l": "N", "l/old": "O"], ["i": "N", "l": "N"]),
    // While a next run was undoing it.
    (["i/new": "N", "i": "O", "l/old": "O", "l/new": "N"], ["i": "O", "l": "O"]),
    (["i": "O", "l": "O", "l/new": "N"], ["i": "O", "l": "O"]),
  ]

  @Test(arguments: killed.indices) func undoesAKilledRun(_ index: Int) throws {
    let folder = try TestFolder()
    let (left, after) = StagedFoldersTests.killed[index]
    // A killed run leaves the folders beside both targets.
    for name in ["i.incomplete", "l.incomplete"] { try folder.makeFolder(name) }
    for (name, word) in left {
      let place = folder(name.replacingOccurrences(of: "/", with: ".incomplete/"))
      try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
      try fill(place, with: word)
    }
    try StagedFolders.undoKilledRun(of: [folder("i"), folder("l")])
    #expect(folder.names() == after.keys.sorted())
    for (name, word) in after { #expect(try text(in: folder(name)) == word) }
  }

  private func fill(_ folder: String, with text: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: "\(folder)/data.mdb"))
  }

  private func text(in folder: String) throws -> String {
    String(decoding: try contents(of: "\(folder)/data.mdb"), as: UTF8.self)
  }
}
