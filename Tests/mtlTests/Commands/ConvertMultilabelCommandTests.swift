import ArgumentParser
import Records
import Testing

@testable import mtl

@Suite struct ConvertMultilabelCommandTests {
  static func options(_ arguments: String) throws -> ConversionOptions {
    let words = LegacyFlags(flags: ImageConversionOptions.flagNames)
      .normalized(arguments.split(separator: " ").map(String.init))
    return try ConvertMultilabelCommand.parse(words).conversion()
  }

  @Test func takesAListAndAFolder() throws {
    let options = try ConvertMultilabelCommandTests.options("list.txt db")
    #expect(options.list == "list.txt")
    guard case .folder("db") = options.target else {
      Issue.record("\(options.target)")
      return
    }
    #expect(options.root == nil && options.labelCount == nil && options.size == nil && options.shuffleSeed == nil)
    #expect(!options.isGray && !options.checksSize && !options.skipsBad && !options.replaces)
    #expect(options.storage == .pixels && options.threads >= 1)
  }

  @Test func takesTheFivePathsOfOlderScripts() throws {
    let options = try ConvertMultilabelCommandTests.options(
      "-resize_height=227 --resize_width 200 -shuffle=false -gray=true -backend lmdb faces/ list.txt a/image_db label_db 7"
    )
    #expect(options.root == "faces/" && options.list == "list.txt" && options.labelCount == 7)
    #expect(options.size == .init(height: 227, width: 200))
    #expect(options.shuffleSeed == nil && options.isGray)
    guard case .pair("a/image_db", "label_db") = options.target else {
      Issue.record("\(options.target)")
      return
    }
  }

  @Test(arguments: [
    ("l --image-db a --label-db b", "a", "b"), ("l db --image-db a", "a", "db/label"),
    ("l db --label-db b", "db/image", "b"),
  ])
  func namesDatabasesFreely(_ arguments: String, _ images: String, _ labels: String) throws {
    guard case .pair(images, labels) = try ConvertMultilabelCommandTests.options(arguments).target else {
      Issue.record("other names than \(images) and \(labels)")
      return
    }
  }

  @Test func takesEveryOption() throws {
    let options = try ConvertMultilabelCommandTests.options(
      "list.txt db --root r --labels 3 --shuffle --seed 9 --check-size --threads 3 --force --skip-bad")
    #expect(options.root == "r" && options.labelCount == 3 && options.shuffleSeed == 9 && options.checksSize)
    #expect(options.threads == 3 && options.replaces && options.skipsBad)
  }

  @Test(
    arguments: [
      ("--encoded", .encoded(nil)), ("--encode-type jpg", .encoded(.jpeg)), ("--encode-type .png", .encoded(.png)),
      ("-encoded=true -encode_type=bmp", .encoded(.bmp)), ("-encode_type=", .pixels), ("--keep-files", .file),
      ("-encoded=false", .pixels),
    ] as [(String, ConversionOptions.Storage)])
  func choosesHowImagesAreKept(_ arguments: String, _ storage: ConversionOptions.Storage) throws {
    #expect(try ConvertMultilabelCommandTests.options("l db \(arguments)").storage == storage)
  }

  /// What takes no value must be known as such to the older spellings.
  @Test func listsItsFlags() throws {
    for flag in ImageConversionOptions.flagNames {
      _ = try ConvertMultilabelCommand.parse(["l", "db", "--\(flag)"])
      #expect(throws: (any Error).self) { try ConvertMultilabelCommand.parse(["l", "db", "--\(flag)=true"]) }
    }
  }

  @Test func takesZeroForNoResizing() throws {
    #expect(try ConvertMultilabelCommandTests.options("l db -resize_height=0 -resize_width=0").size == nil)
  }

  @Test(arguments: [
    "l", "r/ l a b", "r/ l a b x", "r/ l a b 0", "r/ l a b 5 --root r", "r/ l a b 5 --labels 5", "l --image-db a",
    "l db --resize-height 5", "l db --resize-height 5 --resize-width -1", "l db --threads 0", "l db --labels 0",
    "l db --encode-type gif", "l db --keep-files --gray", "l db --keep-files --resize-height 5 --resize-width 5",
    "l db --backend leveldb", "l db --unknown", "l db --labels x",
  ])
  func refuses(_ arguments: String) {
    #expect(throws: (any Error).self) { try ConvertMultilabelCommandTests.options(arguments) }
  }
}
