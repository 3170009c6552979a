/// The keys that converters give to records: `00000012_faces/anna.jpg` for an image, `00000012label_faces/anna.jpg` for
/// its labels, where 12 is its place in the (shuffled) list.
package enum RecordKey {
  package static func image(at place: Int, path: some Sequence<UInt8>) -> [UInt8] {
    digits(of: place) + [UInt8(ascii: "_")] + path
  }

  package static func labels(at place: Int, path: some Sequence<UInt8>) -> [UInt8] {
    digits(of: place) + Array("label_".utf8) + path
  }

  /// The longest path that both keys have room for in a database with keys of at most `longestKey` bytes, at any place
  /// up to `count`.
  package static func longestPath(count: Int, longestKey: Int) -> Int {
    longestKey - labels(at: count, path: []).count
  }

  private static func digits(of place: Int) -> [UInt8] {
    let digits = Array(String(place).utf8)
    return Array(repeating: UInt8(ascii: "0"), count: max(0, 8 - digits.count)) + digits
  }
}
