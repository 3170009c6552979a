import Testing

@testable import Records

@Suite struct RecordKeysTests {
  @Test(arguments: [
    (0, "00000000_a/b.jpg", "00000000label_a/b.jpg"), (12_345_678, "12345678_a/b.jpg", "12345678label_a/b.jpg"),
    (123_456_789, "123456789_a/b.jpg", "123456789label_a/b.jpg"),
  ])
  func areThoseOfTheConverters(_ place: Int, _ image: String, _ labels: String) {
    #expect(RecordKey.image(at: place, path: "a/b.jpg".utf8) == Array(image.utf8))
    #expect(RecordKey.labels(at: place, path: "a/b.jpg".utf8) == Array(labels.utf8))
  }

  @Test func longestPathFitsBothKeys() {
    let path = [UInt8](repeating: 1, count: RecordKey.longestPath(count: 1000, longestKey: 511))
    #expect(RecordKey.labels(at: 999, path: path).count == 511)
  }
}
