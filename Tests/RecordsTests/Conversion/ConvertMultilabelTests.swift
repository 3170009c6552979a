import CaffeSchema
import Diagnostics
import Foundation
import Testing

@testable import Records

@Suite struct ConvertMultilabelTests {
  /// What the converter is asked for, in each mode of the golden databases.
  static let modes: [(name: String, change: @Sendable (inout ConversionOptions) -> Void)] = [
    ("plain", { _ in }),
    ("resized", { $0.size = .init(height: 32, width: 40) }),
    (
      "gray_resized",
      {
        $0.size = .init(height: 28, width: 28)
        $0.isGray = true
      }
    ),
    ("encoded", { $0.storage = .encoded(nil) }),
    (
      "encoded_png_resized",
      {
        $0.size = .init(height: 32, width: 40)
        $0.storage = .encoded(.png)
      }
    ),
  ]

  static func options(to folder: TestFolder, _ name: String = "db") -> ConversionOptions {
    var options = ConversionOptions(list: "\(convertFixtures)/list.txt", target: .folder(folder(name)))
    options.threads = 2
    return options
  }

  /// Every byte of keys and records, but for encoded images, of which the pixels count.
  @Test(arguments: modes.indices) func equalsTheGoldenDatabases(_ mode: Int) throws {
    let folder = try TestFolder()
    let (name, change) = ConvertMultilabelTests.modes[mode]
    var options = ConvertMultilabelTests.options(to: folder)
    change(&options)
    let summary = try ConvertMultilabel(options).run()
    #expect(summary.records == 19 && summary.labelCount == 5 && summary.skipped.isEmpty)
    #expect(folder.names() == ["db"] && folder.names(in: "db") == ["image", "label"])

    let labels = try records(of: folder("db/label"))
    let goldenLabels = try records(of: "\(convertFixtures)/label")
    #expect(labels.elementsEqual(goldenLabels, by: ==))
    let images = try records(of: folder("db/image"))
    let goldenImages = try records(of: "\(convertFixtures)/\(name)_image")
    #expect(images.map(\.key) == goldenImages.map(\.key))
    for (ours, golden) in zip(images, goldenImages) where ours.value != golden.value {
      var (ours, golden) = try (Datum(serializedBytes: ours.value), Datum(serializedBytes: golden.value))
      #expect(
        try golden.encoded
          && Image(decoding: Array(ours.data), as: .asStored) == Image(decoding: Array(golden.data), as: .asStored))
      ours.clearData()
      golden.clearData()
      #expect(ours == golden)
    }
  }

  @Test func convertsSingleLabels() throws {
    let folder = try TestFolder()
    var options = ConversionOptions(list: "\(convertFixtures)/list_single.txt", target: .single(folder("db")))
    options.size = .init(height: 32, width: 40)
    _ = try ConvertMultilabel(options).run()
    let golden = try records(of: "\(convertFixtures)/single_resized")
    #expect(try records(of: folder("db")).elementsEqual(golden, by: ==))
    options = ConversionOptions(list: "\(convertFixtures)/list.txt", target: .single(folder("other")))
    let fault = #expect(throws: Diagnostic.self) { try ConvertMultilabel(options).run() }
    #expect(fault?.message == "a database without labels of its own takes one label a line, not 5")
  }

  @Test func keepsFilesAsTheyAre() throws {
    let folder = try TestFolder()
    var options = ConvertMultilabelTests.options(to: folder)
    options.storage = .file
    _ = try ConvertMultilabel(options).run()
    for (key, value) in try records(of: folder("db/image")) {
      let datum = try Datum(serializedBytes: value)
      #expect(try Array(datum.data) == contents(of: "\(convertFixtures)/\(key.dropFirst(9))"))
      #expect(datum.encoded && !datum.hasChannels && !datum.hasHeight && !datum.hasWidth)
    }
  }

  @Test func isTheSameOnAnyNumberOfThreads() throws {
    let folder = try TestFolder()
    for threads in [1, 4] {
      var options = ConvertMultilabelTests.options(to: folder, "\(threads)")
      options.shuffleSeed = 3
      options.threads = threads
      _ = try ConvertMultilabel(options).run()
    }
    for database in ["image", "label"] {
      #expect(try contents(of: folder("1/\(database)/data.mdb")) == contents(of: folder("4/\(database)/data.mdb")))
    }
  }

  @Test func shufflesBothAlike() throws {
    let folder = try TestFolder()
    for (name, seed) in [("a", 3), ("b", 3), ("c", 4)] as [(String, UInt64)] {
      var options = ConvertMultilabelTests.options(to: folder, name)
      options.shuffleSeed = seed
      _ = try ConvertMultilabel(options).run()
    }
    let (a, b) = try (records(of: folder("a/image")), records(of: folder("b/image")))
    let (labels, c) = try (records(of: folder("a/label")), records(of: folder("c/image")))
    #expect(a.elementsEqual(b, by: ==))
    #expect(a.map(\.key) != c.map(\.key))
    let golden = try records(of: "\(convertFixtures)/plain_image")
    let order = shuffledOrder(count: 19, seed: 3)
    for place in 0..<19 {
      let path = golden[order[place]].key.dropFirst(8)
      #expect(a[place].key.hasSuffix(path) && labels[place].key.hasSuffix("label" + path))
      #expect(a[place].value == golden[order[place]].value)
    }
  }

  @Test func storesMissingLabels() throws {
    let folder = try TestFolder()
    try folder.write(Image(height: 1, width: 1, channels: 1, pixels: [9]).encoded(as: .png), to: "my cat.png")
    try folder.write("\"my cat.png\" ? 3\nmy cat.png\t2.9 nan\n", to: "list.txt")
    let options = ConversionOptions(list: folder("list.txt"), target: .folder(folder("db")))
    _ = try ConvertMultilabel(options).run()
    let labels = try records(of: folder("db/label")).map { try Datum(serializedBytes: $0.value).floatData }
    #expect(labels[0][0].isNaN && labels[0][1] == 3 && labels[1][0] == 2.9 && labels[1][1].isNaN)
    let images = try records(of: folder("db/image"))
    #expect(images.map(\.key) == ["00000000_my cat.png", "00000001_my cat.png"])
    #expect(try images.map { try Datum(serializedBytes: $0.value).label } == [-1, 2])
  }

  @Test func findsImagesFromTheRoot() throws {
    let folder = try TestFolder()
    try FileManager.default.copyItem(atPath: "\(convertFixtures)/images", toPath: folder("images"))
    try folder.write("color.png 1\n/color.png 2\nsub\\..\\color.png 3", to: "list.txt")
    try folder.makeFolder("images/sub")
    for root in [folder("images"), folder("images/")] {
      var options = ConversionOptions(list: folder("list.txt"), target: .folder(folder("db")))
      options.root = root
      options.replaces = true
      #expect(try ConvertMultilabel(options).run().records == 3)
      #expect(try records(of: folder("db/image")).last?.key == "00000002_sub\\..\\color.png")
    }
  }
}
