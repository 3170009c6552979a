import CaffeSchema
import Diagnostics
import Testing

@testable import Records

@Suite struct LandmarkListTests {
  let folder: TestFolder

  /// Two lines of MTFL's form: a leading blank, backslashes, columns of x and y, classes from 1, a blank and a carriage
  /// return at the end.
  static let mtfl =
    " net_7876\\a.png 2 6 4 2.5 5.5 3 3 4 5 5 1 2 2 3 \r\n net_7876\\b.png 2 6 4 3 5 3 3 4 5 5 2 1 2 5\r\n"

  init() throws {
    folder = try TestFolder()
    // The value tells the place: 16 rows of 10.
    let picture = Image(height: 16, width: 10, channels: 1, pixels: (0..<160).map { UInt8($0) })
    try folder.makeFolder("net_7876")
    for name in ["a", "b"] { try folder.write(picture.encoded(as: .png), to: "net_7876/\(name).png") }
    try folder.write(Self.mtfl, to: "training.txt")
  }

  private func options(_ list: LandmarkList, _ file: String = "training.txt") -> ConversionOptions {
    var options = ConversionOptions(list: folder(file), target: .folder(folder("db")))
    options.format = .landmarks(list)
    options.isGray = true
    options.replaces = true
    return options
  }

  private func labels() throws -> [[Float]] {
    try records(of: folder("db/label")).map { try Datum(serializedBytes: $0.value).floatData }
  }

  private func picture(_ index: Int = 0) throws -> Datum {
    try Datum(serializedBytes: records(of: folder("db/image"))[index].value)
  }

  @Test func readsMTFLAsPublished() throws {
    let summary = try ConvertMultilabel(options(.mtfl)).run()
    #expect(summary.records == 2 && summary.labelCount == 14)
    let expected: [Float] = [0.2, 3 / 16, 0.6, 3 / 16, 0.4, 0.25, 0.25, 5 / 16, 0.55, 5 / 16, 0, 1, 1, 2]
    #expect(try labels()[0] == expected)
    #expect(try labels()[1].suffix(4) == [1, 0, 1, 4])
    #expect(try records(of: folder("db/label"))[1].key == "00000001label_net_7876\\b.png")
    // The first label besides the points.
    #expect(try picture(0).label == 0 && picture(1).label == 1)
  }

  /// The points span x 2 to 6 and y 3 to 5: a face of 4, with half of it around 8 pixels from (0, 0).
  @Test func cutsOutTheFace() throws {
    var list = LandmarkList.mtfl
    list.margin = 0.5
    _ = try ConvertMultilabel(options(list)).run()
    let picture = try picture()
    #expect(picture.height == 8 && picture.width == 8)
    #expect(Array(picture.data) == (0..<8).flatMap { row in (0..<8).map { UInt8(10 * row + $0) } })
    #expect(try labels()[0].prefix(4) == [0.25, 0.375, 0.75, 0.375])
  }

  @Test func goesOnBeyondTheBorder() throws {
    var list = LandmarkList.mtfl
    list.margin = 1
    for border in LandmarkList.Border.allCases {
      list.border = border
      _ = try ConvertMultilabel(options(list)).run()
      // 12 pixels from (-2, -2), so two rows and columns lie beyond, and none on the other sides.
      let picture = try picture()
      #expect(picture.height == 12 && picture.width == 12)
      let rows = (0..<12).map { row in Array(picture.data[row * 12..<row * 12 + 12]) }
      #expect(rows[7].suffix(3) == [57, 58, 59] && rows[2][2] == 0 && rows[3][2] == 10)
      #expect(rows[1][5] == (border == .edge ? 3 : 0))
      #expect(rows[7][0] == (border == .edge ? 50 : 0))
      #expect(try labels()[0].prefix(2) == [4 / 12, 5 / 12])
    }
  }

  @Test func sharesStayTheSameWhenResized() throws {
    var options = options(.mtfl)
    options.size = .init(height: 40, width: 40)
    _ = try ConvertMultilabel(options).run()
    #expect(try labels()[0].prefix(2) == [0.2, 3 / 16])
    #expect(try picture().height == 40)
  }

  /// 68 points with an identity in front, as pixels and as shares.
  @Test func readsAnyNumberOfPoints() throws {
    let points = (0..<68).map { (x: Float($0 % 10), y: Float($0 / 10 + 2)) }
    let pixels = points.map { "\($0.x) \($0.y)" }.joined(separator: " ")
    let shares = points.map { "\($0.x / 10) \($0.y / 16)" }.joined(separator: " ")
    try folder.write("net_7876/a.png 4711 \(pixels)\n", to: "pixels.txt")
    try folder.write("net_7876/a.png 4711 \(shares)\n", to: "shares.txt")
    var list = LandmarkList(points: 68)
    list.labelsBefore = 1
    list.margin = 0.1
    _ = try ConvertMultilabel(options(list, "pixels.txt")).run()
    let ofPixels = try labels()[0]
    #expect(ofPixels.count == 137 && ofPixels[136] == 4711)
    #expect(try picture().label == 4711)
    // A face of 9, 11 pixels with its margin, from (-1, -1): its middle is (4.5, 5).
    #expect(ofPixels[0] == 1 / 11 && ofPixels[1] == 3 / 11)
    list.areShares = true
    _ = try ConvertMultilabel(options(list, "shares.txt")).run()
    #expect(zip(try labels()[0], ofPixels).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  @Test func keepsMissingPointsAndLabels() throws {
    var list = LandmarkList(points: 2)
    list.classes = [3]
    try folder.write("net_7876/a.png ? ? 5 8 2\nnet_7876/b.png 1 1 5 8 ?\n", to: "list.txt")
    _ = try ConvertMultilabel(options(list, "list.txt")).run()
    let labels = try labels()
    #expect(labels[0][0].isNaN && labels[0][1].isNaN && labels[0][2...] == [0.5, 0.5, 2])
    #expect(labels[1][..<4] == [0.1, 1 / 16, 0.5, 0.5] && labels[1][4].isNaN)
  }

  /// 300-W's form: (1, 1) is the middle of the upper left pixel; a blank behind a number, a carriage return, and lists of paths alone.
  static let points = "version: 1\r\nn_points:  2\r\n{\r\n2.000000 3.000000 \r\n6 9\r\n}\r\n"

  @Test func readsPointsFromFilesBesideThePictures() throws {
    try folder.write(Self.points, to: "net_7876/a.pts")
    try folder.write("n_points: 2\n{\n1 1\n10 16\n}\n", to: "net_7876/b.pts")
    var list = LandmarkList(points: 2)
    list.areBeside = true
    try folder.write("net_7876/a.png\nnet_7876\\b.png\n", to: "list.txt")
    let summary = try ConvertMultilabel(options(list, "list.txt")).run()
    #expect(summary.records == 2 && summary.labelCount == 4)
    #expect(try labels() == [[0.15, 2.5 / 16, 0.55, 8.5 / 16], [0.05, 0.5 / 16, 0.95, 15.5 / 16]])
    #expect(try picture().label == -1)
    try folder.write("net_7876/a.png 2\nnet_7876/b.png 1\n", to: "list.txt")
    list.classes = [3]
    _ = try ConvertMultilabel(options(list, "list.txt")).run()
    #expect(try labels().map(\.last) == [2, 1] && picture().label == 2)
  }

  @Test(arguments: [
    ("", "there is no '{' before points; is it a file of points?", 1),
    ("n_points: 3\n{\n1 1\n}", "it has 3 points, but 2 were asked for", 1),
    ("{\n1 1\n}\n2 2\n", "it has 1 points, but 2 were asked for", 1),
    ("{\n1 1\n2 x\n}", "'2 x' is no point; a point is two numbers, x and y", 3),
  ])
  func tellsWhatIsWrongInAFileOfPoints(_ text: String, _ message: String, _ line: Int) throws {
    try folder.write(text, to: "net_7876/a.pts")
    try folder.write("net_7876/a.png\n", to: "list.txt")
    var list = LandmarkList(points: 2)
    list.areBeside = true
    let faults = #expect(throws: DiagnosticList.self) { try ConvertMultilabel(options(list, "list.txt")).run() }
    #expect(faults?.all.map(\.message) == [message])
    #expect(faults?.all.first?.location?.line == line && faults?.all.first?.location?.file.hasSuffix("a.pts") == true)
  }

  @Test func tellsOfPicturesWithoutAFileOfPoints() throws {
    try folder.write("net_7876/a.png\n", to: "list.txt")
    var list = LandmarkList(points: 2)
    list.areBeside = true
    let faults = #expect(throws: DiagnosticList.self) { try ConvertMultilabel(options(list, "list.txt")).run() }
    #expect(faults?.all.map(\.message) == ["cannot read points 'net_7876/a.pts': there is no such file"])
    #expect(faults?.all.first?.location?.line == 1)
  }

  static let faults: [(line: String, message: String)] = [
    ("net_7876/a.png 2 6 4 2.5 5.5 3 3 4 5 5 1 2 2", "the line has 13 labels, but 14 were asked for"),
    (
      "net_7876/a.png 2 6 4 2.5 5.5 3 3 4 5 5 0 2 2 3",
      "label 1 besides the points is 0.0; its 2 classes are 1 to 2"
    ),
    (
      "net_7876/a.png 2 6 4 2.5 5.5 3 3 4 5 5 1 2 2 6",
      "label 4 besides the points is 6.0; its 5 classes are 1 to 5"
    ),
    ("net_7876\\c.png 2 6 4 2.5 5.5 3 3 4 5 5 1 2 2 3", "cannot read image 'net_7876\\c.png': there is no such file"),
    (
      "net_7876/a.png 22 26 24 22 26 3 3 4 5 5 1 2 2 3",
      "cannot read image 'net_7876/a.png': its points, x from 22.0 to 26.0 and y from 3.0 to 5.0, lie outside its "
        + "16 x 10 pixels (height x width)"
    ),
    (
      "net_7876/a.png 2 2 2 2 2 3 3 3 3 3 1 2 2 3",
      "cannot read image 'net_7876/a.png': its points are 0.0 pixels apart, which is no face in 16 x 10"
    ),
    (
      "net_7876/a.png ? ? ? ? ? ? ? ? ? ? 1 2 2 3",
      "cannot read image 'net_7876/a.png': no point is known, so the face cannot be cut out"
    ),
  ]

  @Test(arguments: faults.indices) func tellsWhatIsWrongInALine(_ index: Int) throws {
    try folder.write(Self.mtfl + Self.faults[index].line, to: "training.txt")
    var list = LandmarkList.mtfl
    list.margin = 0.25
    let faults = #expect(throws: DiagnosticList.self) { try ConvertMultilabel(options(list)).run() }
    #expect(faults?.all.map(\.message) == [Self.faults[index].message])
    #expect(faults?.all.first?.location?.line == 3)
    #expect(!folder.names().contains("db"))
  }

  @Test func tellsOfOptionsThatDoNotFit() throws {
    func message(_ change: (inout LandmarkList) -> Void) -> String? {
      var list = LandmarkList.mtfl
      change(&list)
      return #expect(throws: Diagnostic.self) { try ConvertMultilabel(options(list)).run() }?.message
    }
    #expect(message { $0.margin = -1 } == "the margin is a share of the face's side, from 0 to 10")
    #expect(message { $0.labelsBefore = 5 } == "5 labels cannot stand before the points: there are 4")
    #expect(
      message {
        $0.points = 68
        $0.classes = []
      } == "a line has 14 numbers; 68 points and the labels before them are 136")
  }
}
