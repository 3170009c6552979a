import CaffeSchema
import Diagnostics
import Testing

@testable import Records

/// A few lines of CelebA's files as they are published: a count, names that end with a blank, columns filled with blanks.
@Suite struct AttributeListTests {
  let folder: TestFolder

  static let list = """
    4
    5_o_Clock_Shadow Arched_Eyebrows Male Smiling Young \n\
    000001.jpg -1  1 -1  1  1
    000002.jpg -1 -1 -1  1 -1
    000003.jpg  1 -1  1 -1  1
    000004.jpg -1 -1  1 -1  1

    """
  static let partition = "000001.jpg 0\n000002.jpg 0\n000003.jpg 1\n000004.jpg 2\n"

  init() throws {
    folder = try TestFolder()
    let picture = Image(height: 6, width: 4, channels: 3, pixels: (0..<72).map { UInt8($0) })
    for number in 1...4 { try folder.write(picture.encoded(as: .jpeg), to: "00000\(number).jpg") }
    try folder.write(Self.list, to: "attr.txt")
    try folder.write(Self.partition, to: "part.txt")
  }

  private func options(_ attributes: [String] = [], part: AttributeList.Part? = nil) -> ConversionOptions {
    var options = ConversionOptions(list: folder("attr.txt"), target: .folder(folder("db")))
    options.format = .attributes(
      AttributeList(attributes: attributes, partition: part.map { (folder("part.txt"), $0) }))
    options.replaces = true
    return options
  }

  private func labels() throws -> [[Float]] {
    try records(of: folder("db/label")).map { try Datum(serializedBytes: $0.value).floatData }
  }

  @Test func takesAllAttributes() throws {
    #expect(try ConvertMultilabel(options()).run().labelCount == 5)
    #expect(try labels() == [[0, 1, 0, 1, 1], [0, 0, 0, 1, 0], [1, 0, 1, 0, 1], [0, 0, 1, 0, 1]])
    #expect(try AttributeList.names(in: folder("attr.txt")).last == "Young")
  }

  @Test func takesThoseThatAreNamedInTheirOrder() throws {
    _ = try ConvertMultilabel(options(["Smiling", "Male"])).run()
    #expect(try labels() == [[1, 0], [1, 0], [0, 1], [0, 1]])
  }

  @Test func followsTheOfficialSplit() throws {
    for (part, keys) in [
      (AttributeList.Part.train, ["00000000_000001.jpg", "00000001_000002.jpg"]),
      (.val, ["00000000_000003.jpg"]), (.test, ["00000000_000004.jpg"]),
    ] {
      _ = try ConvertMultilabel(options(part: part)).run()
      #expect(try records(of: folder("db/image")).map(\.key) == keys)
    }
  }

  @Test func cutsOutTheMiddleBeforeItResizes() throws {
    var options = options()
    options.crop = .init(height: 4, width: 4)
    options.size = .init(height: 2, width: 2)
    _ = try ConvertMultilabel(options).run()
    let datum = try Datum(serializedBytes: records(of: folder("db/image"))[0].value)
    let image = try Image(decoding: contents(of: folder("000001.jpg")), as: .color)
    let expected = image.cropped(top: 1, left: 0, height: 4, width: 4).resized(height: 2, width: 2)
    #expect(Array(datum.data) == expected.planes)
    options.crop = .init(height: 7, width: 4)
    let faults = #expect(throws: DiagnosticList.self) { try ConvertMultilabel(options).run() }
    #expect(
      faults?.all.first?.message
        == "cannot read image '000001.jpg': it is 6 x 4 pixels, smaller than the crop of 7 x 4")
  }

  struct Fault: Sendable {
    var list = AttributeListTests.list
    var partition = AttributeListTests.partition
    var attributes: [String] = []
    let message: String
  }

  static let faults = [
    Fault(
      list: list.replacing("-1  1 -1  1  1", with: "-1  1 -1  1"),
      message: "attr.txt:3: error: the line has 4 labels, "
        + "but 5 were asked for"),
    Fault(
      list: list.replacing("4\n5_o", with: "7\n5_o"),
      message: "attr.txt:1: error: the first line tells of 7 images, but 4 follow; is the file cut off?"),
    Fault(
      list: list.replacing("000002.jpg -1", with: "000002.jpg  2"),
      message: "attr.txt:4: error: 5_o_Clock_Shadow is 2.0; an attribute is 1 or -1"),
    Fault(
      list: list.replacing("000004.jpg", with: "000009.jpg"),
      message: "attr.txt:6: error: cannot read image "
        + "'000009.jpg': there is no such file"),
    Fault(
      list: String(list.dropFirst(2)),
      message: "attr.txt:1: error: the first line must be the number of images, as in list_attr_celeba.txt"),
    Fault(
      attributes: ["Smilin"],
      message: "attr.txt:2: error: there is no attribute 'Smilin' among the 5; 'Smiling' is near"),
    Fault(
      partition: partition.replacing("4.jpg 2", with: "4.jpg 3"),
      message: "part.txt:4: error: the part is 3.0; 0 is train, 1 val and 2 test"),
    Fault(
      partition: partition.replacing("000003.jpg 1\n", with: ""),
      message: "attr.txt:5: error: '000003.jpg' is not in the partition file 'part.txt'"),
  ]

  @Test(arguments: faults.indices) func tellsWhatIsWrong(_ index: Int) throws {
    let fault = Self.faults[index]
    try folder.write(fault.list, to: "attr.txt")
    try folder.write(fault.partition, to: "part.txt")
    // Without the partition every image is looked for.
    let usesPartition = fault.message.contains("part.txt") || fault.message.contains("partition")
    do {
      _ = try ConvertMultilabel(options(fault.attributes, part: usesPartition ? .train : nil)).run()
      Issue.record("no fault")
    } catch {
      let told = (error as? DiagnosticList)?.all.map(\.description) ?? ["\(error)"]
      #expect(told.map { $0.replacing(folder.path + "/", with: "") }.contains(fault.message), "\(told)")
    }
    #expect(!folder.names().contains("db"))
  }
}
