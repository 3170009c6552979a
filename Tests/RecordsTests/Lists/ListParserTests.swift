import Diagnostics
import Testing

@testable import Records

@Suite struct ListParserTests {
  static func parse(_ text: String, labels: Int? = nil) throws -> (list: LabelList, faults: [Diagnostic]) {
    try LabelList.parse(Array(text.utf8), file: "list.txt", labelCount: labels)
  }

  /// A list of one line, its path and its labels.
  @Test(arguments: [
    ("a.jpg 1 2", "a.jpg", [1, 2]), ("  a.jpg   1  2  ", "a.jpg", [1, 2]), ("a.jpg\t1\t2", "a.jpg", [1, 2]),
    ("my cat.jpg\t1 2", "my cat.jpg", [1, 2]), ("\"my cat.jpg\" 1\t2", "my cat.jpg", [1, 2]),
    ("\"a.jpg\"1 2", "a.jpg", [1, 2]), ("a.jpg 1\t2", "a.jpg", [1, 2]), ("a.jpg \t 1", "a.jpg", [1]),
    ("a.jpg 1 2\r", "a.jpg", [1, 2]), ("\u{feff}a.jpg 3", "a.jpg", [3]), ("\n \n\r\na.jpg 3\n\n", "a.jpg", [3]),
    ("дом/é.jpg -0.422 1e-3 +7 .5 1E+2", "дом/é.jpg", [-0.422, 0.001, 7, 0.5, 100] as [Float]),
    ("#1.jpg 4", "#1.jpg", [4]), ("a\\b.jpg 4", "a\\b.jpg", [4]), ("a.jpg 16777217", "a.jpg", [16_777_216]),
  ])
  func parses(_ text: String, _ path: String, _ labels: [Float]) throws {
    let (list, faults) = try ListParserTests.parse(text)
    #expect(faults.isEmpty)
    let entry = try #require(list.entries.first)
    #expect(String(decoding: list.path(of: entry), as: UTF8.self) == path)
    #expect(Array(list.labels(of: entry)) == labels)
    #expect(list.labelCount == labels.count && list.entries.count == 1)
  }

  @Test func takesMissingLabels() throws {
    let (list, faults) = try ListParserTests.parse("a ? 1\nb nan 2\nc NaN 3")
    #expect(faults.isEmpty)
    #expect(list.entries.map(\.line) == [1, 2, 3])
    for (i, entry) in list.entries.enumerated() {
      let labels = Array(list.labels(of: entry))
      #expect(labels[0].isNaN && labels[1] == Float(i + 1))
    }
  }

  @Test(arguments: [
    ("a 1 2\nb 1", "list.txt:2: error: the line has 1 label, but line 1 has 2"),
    ("a 1 2\n\nb 1 2 3", "list.txt:3: error: the line has 3 labels, but line 1 has 2"),
    ("a 1\nb", "list.txt:2: error: there is no label after the path"),
    ("a", "list.txt:1: error: there is no label after the path"),
    ("a\nb 1 2", "list.txt:1: error: there is no label after the path"),
    ("a 1\nb x", "list.txt:2:3: error: label 1, 'x', is not a number"),
    ("a 1 2\n  é 1 2,5", "list.txt:2:7: error: label 2, '2,5', is not a number"),
    ("a 1\nb inf", "list.txt:2:3: error: label 1, 'inf', is not a number"),
    ("a 1\nb 0x1f", "list.txt:2:3: error: label 1, '0x1f', is not a number"),
    ("a 1\nb 1-", "list.txt:2:3: error: label 1, '1-', is not a number"),
    ("a 1\nb 1e39", "list.txt:2:3: error: label 1, '1e39', is too large"),
    (
      "a 1\nmy cat.jpg 1", "list.txt:2:4: error: label 1, 'cat.jpg', is not a number; a path with blanks must be quoted"
    ),
    ("a 1\n\"my cat.jpg 1", "list.txt:2: error: the quote that begins the path is not closed"),
    ("a 1\n\"\" 1", "list.txt:2: error: the path is empty"),
    ("a 1\nb\0 1", "list.txt:2: error: the line holds a zero byte: this is no text"),
  ])
  func reportsFaultsByLine(_ text: String, _ message: String) throws {
    let (_, faults) = try ListParserTests.parse(text)
    #expect(faults.map(\.description) == [message])
    #expect(faults.allSatisfy { $0.code == .badList })
  }

  @Test func reportsEveryFaultAndKeepsTheRest() throws {
    let (list, faults) = try ListParserTests.parse("a 1\nb\nc x\nd 4\ne 5 6")
    #expect(faults.compactMap { $0.location?.line } == [2, 3, 5])
    #expect(list.entries.map(\.line) == [1, 4])
  }

  @Test func checksTheCountThatWasAskedFor() throws {
    let (list, faults) = try ListParserTests.parse("a 1 2\nb 1 2 3", labels: 3)
    #expect(faults.map(\.description) == ["list.txt:1: error: the line has 2 labels, but 3 were asked for"])
    #expect(list.entries.map(\.line) == [2])
  }

  @Test(arguments: ["", "\n \n", "\u{feff}"]) func refusesAListWithoutRecords(_ text: String) {
    let fault = #expect(throws: Diagnostic.self) { try ListParserTests.parse(text) }
    #expect(fault?.description == "list.txt: error: the list holds no record")
  }

  @Test func refusesUTF16() {
    let fault = #expect(throws: Diagnostic.self) {
      try LabelList.parse([0xff, 0xfe, 0x61, 0], file: "list.txt", labelCount: nil)
    }
    #expect(fault?.message == "the list is UTF-16 text; save it as UTF-8")
  }

  @Test func saysWhyAListCannotBeRead() throws {
    let folder = try TestFolder()
    for (name, reason) in [("none.txt", "there is no such file"), ("", "it is a folder, not a file")] {
      let fault = #expect(throws: Diagnostic.self) { try LabelList.read(folder(name), labelCount: nil) }
      #expect(fault?.code == .unreadableFile)
      #expect(fault?.message == "cannot read the list '\(folder(name))': \(reason)")
    }
  }
}
