import Diagnostics
import Foundation
import Testing

@testable import Records

@Suite struct ConversionFaultTests {
  let folder: TestFolder
  var options: ConversionOptions

  /// Three good images of 2 x 3 pixels, one of 3 x 3, one that is cut short, and a list of all, with more faults.
  init() throws {
    folder = try TestFolder()
    let image = Image(height: 2, width: 3, channels: 3, pixels: Array(0..<18))
    for name in ["a.png", "b.png", "c.png"] { try folder.write(image.encoded(as: .png), to: name) }
    try folder.write(image.resized(height: 3, width: 3).encoded(as: .bmp), to: "large.bmp")
    try folder.write(Array(image.encoded(as: .jpeg).dropLast(20)), to: "cut.jpg")
    try folder.write("text", to: "text.jpg")
    try folder.write(
      """
      a.png 1 2
      none.png 1 2
      b.png 1
      cut.jpg 1 2
      b.png 1 x
      text.jpg 1 2
      large.bmp 1 2
      \(String(repeating: "d", count: 500)) 1 2
      c.png 1 2
      """, to: "list.txt")
    options = ConversionOptions(list: folder("list.txt"), target: .folder(folder("db")))
    options.threads = 2
  }

  static let faults = [
    "2: cannot read image 'none.png': there is no such file", "3: the line has 1 label, but line 1 has 2",
    "4: cannot read image 'cut.jpg': JPEG: Premature end of JPEG file", "5: label 2, 'x', is not a number",
    "6: cannot read image 'text.jpg': not an image of a known format",
    "8: the path has 500 bytes; keys have room for 497",
  ]

  private func lines(of faults: [Diagnostic]) -> [String] {
    faults.map { "\($0.location?.line ?? 0): \($0.message)" }
  }

  @Test func tellsOfAllAndWritesNothing() throws {
    let before = folder.names()
    let thrown = #expect(throws: DiagnosticList.self) { try ConvertMultilabel(options).run() }
    let faults = try #require(thrown).all
    #expect(lines(of: faults) == ConversionFaultTests.faults)
    #expect(faults.allSatisfy { $0.severity == .error && $0.location?.file == folder("list.txt") })
    #expect(folder.names() == before)
  }

  @Test(arguments: [nil, 1, 2] as [UInt64?]) func leavesBadOnesOutOfBoth(_ seed: UInt64?) throws {
    var options = options
    options.skipsBad = true
    options.shuffleSeed = seed
    let summary = try ConvertMultilabel(options).run()
    #expect(summary.records == 3)
    #expect(lines(of: summary.skipped) == ConversionFaultTests.faults)
    #expect(summary.skipped.allSatisfy { $0.severity == .warning })
    let images = try records(of: folder("db/image")).map(\.key)
    let labels = try records(of: folder("db/label")).map(\.key)
    #expect(Set(images.map { $0.dropFirst(9) }) == ["a.png", "large.bmp", "c.png"])
    #expect(labels == images.map { $0.prefix(8) + "label" + $0.dropFirst(8) })
  }

  @Test(arguments: [nil, 1, 2] as [UInt64?]) func checksSizes(_ seed: UInt64?) throws {
    var options = options
    options.checksSize = true
    options.shuffleSeed = seed
    let thrown = #expect(throws: DiagnosticList.self) { try ConvertMultilabel(options).run() }
    #expect(
      lines(of: try #require(thrown).all).contains(
        "7: the image is 3 x 3 pixels (height x width), that of line 1 is 2 x 3"))
    options.skipsBad = true
    #expect(try ConvertMultilabel(options).run().records == 2)
    options.size = .init(height: 4, width: 4)
    options.replaces = true
    #expect(try ConvertMultilabel(options).run().records == 3)
  }

  @Test func refusesToWriteNothing() throws {
    try folder.write("none.png 1\n", to: "list.txt")
    var options = options
    options.skipsBad = true
    let before = folder.names()
    #expect(throws: DiagnosticList.self) { try ConvertMultilabel(options).run() }
    #expect(folder.names() == before)
  }

  @Test func replacesOnlyWhenAsked() throws {
    try folder.write("a.png 1\n", to: "list.txt")
    var options = options
    _ = try ConvertMultilabel(options).run()
    try folder.write("b.png 1\n", to: "list.txt")
    let fault = #expect(throws: Diagnostic.self) { try ConvertMultilabel(options).run() }
    #expect(fault?.code == .existingTarget)
    #expect(try records(of: folder("db/image")).map(\.key) == ["00000000_a.png"])
    options.replaces = true
    _ = try ConvertMultilabel(options).run()
    #expect(try records(of: folder("db/image")).map(\.key) == ["00000000_b.png"])
    #expect(folder.names(in: "db") == ["image", "label"])
    options.target = .pair(images: folder("db/image"), labels: folder("x/label"))
    _ = try ConvertMultilabel(options).run()
    #expect(folder.names(in: "db") == ["image", "label"] && folder.names(in: "x") == ["label"])
  }

  @Test func neverReplacesWhatIsNoDatabase() throws {
    try folder.write("a.png 1\n", to: "list.txt")
    var options = options
    options.replaces = true
    // The folder of the list: both databases go in, and all else stays.
    options.target = .folder(folder.path)
    let before = folder.names()
    _ = try ConvertMultilabel(options).run()
    #expect(folder.names() == (before + ["image", "label"]).sorted())
    try folder.write("mine", to: "image/notes.txt")
    let fault = #expect(throws: Diagnostic.self) { try ConvertMultilabel(options).run() }
    #expect(fault?.code == .existingTarget)
    #expect(folder.names(in: "image") == ["data.mdb", "notes.txt"])
  }

  /// Links stay links, and a folder that is there stays that folder, for it may be another disk.
  @Test func buildsInsideOfFoldersThatAreThere() throws {
    try folder.write("a.png 1\n", to: "list.txt")
    try folder.makeFolder("disk")
    try FileManager.default.createSymbolicLink(atPath: folder("link"), withDestinationPath: "disk")
    var options = options
    options.replaces = true
    for _ in 0..<2 {
      options.target = .folder(folder("link/"))
      _ = try ConvertMultilabel(options).run()
      #expect(folder.names(in: "disk") == ["image", "label"])
      #expect(try FileManager.default.destinationOfSymbolicLink(atPath: folder("link")) == "disk")
    }
  }

  @Test(.enabled(if: SmallDisk.isPossible, "only root may mount the small disk that this needs"))
  func writesToTheRootOfADisk() throws {
    try folder.write("a.png 1\n", to: "list.txt")
    let disk = try SmallDisk()
    var options = options
    options.target = .folder(disk.path)
    options.replaces = true
    for _ in 0..<2 { _ = try ConvertMultilabel(options).run() }
    #expect(names(in: disk.path).sorted() == ["image", "label"])
  }

  @Test func cleansUpAfterAnInterruption() throws {
    try folder.write("a.png 1\nb.png 1\nc.png 1\n", to: "list.txt")
    let before = folder.names()
    var seen: [Int] = []
    let fault = #expect(throws: Diagnostic.self) {
      try ConvertMultilabel(options).run(
        progress: { done, count in
          #expect(count == 3)
          seen.append(done)
        }, isInterrupted: { seen.count == 2 })
    }
    #expect(fault?.code == .interrupted)
    #expect(seen == [1, 2])
    #expect(folder.names() == before)
  }

  @Test(.enabled(if: SmallDisk.isPossible, "only root may mount the small disk that this needs"))
  func leavesNothingOnAFullDisk() throws {
    let image = Image(height: 200, width: 300, channels: 3, pixels: Array(repeating: 5, count: 180_000))
    try folder.write(image.encoded(as: .png), to: "large.png")
    try folder.write(String(repeating: "large.png 1\n", count: 200), to: "list.txt")
    let disk = try SmallDisk()
    var options = options
    options.target = .folder("\(disk.path)/db")
    let fault = #expect(throws: Diagnostic.self) { try ConvertMultilabel(options).run() }
    #expect(fault?.code == .outOfSpace)
    #expect(names(in: disk.path).isEmpty)
  }

  @Test(
    arguments: [
      { $0.size = .init(height: 0, width: 5) }, { $0.labelCount = 0 }, { $0.threads = 0 },
      {
        $0.storage = .file
        $0.size = .init(height: 5, width: 5)
      },
      { $0.target = .pair(images: "same", labels: "same/") }, { $0.target = .pair(images: "", labels: "b") },
      { $0.target = .folder("") },
    ] as [@Sendable (inout ConversionOptions) -> Void])
  func refusesOptionsThatMakeNoSense(_ change: @Sendable (inout ConversionOptions) -> Void) {
    var options = options
    change(&options)
    let fault = #expect(throws: Diagnostic.self) { try ConvertMultilabel(options).run() }
    #expect(fault?.code == .badArgument)
  }
}
