import Diagnostics

/// The windows of R-CNN's window files: parts of images, each with a class and its overlap with an object.
///
/// A file holds, for each image: `#` and a number, the path, channels, height, width, the number of windows, and for each
/// window its class, overlap, x1, y1, x2, y2 (pixels, both corners inside), all parted by blanks or line ends.
struct WindowFile: Sendable {
  struct Window: Equatable, Sendable {
    /// The place of its image in the file, from 0.
    var image: Int
    var label: Int
    var x1: Int
    var y1: Int
    var x2: Int
    var y2: Int
    /// Where the file names it.
    var line: Int
  }

  /// The images' paths.
  private(set) var images: [String] = []
  /// The same for all images.
  private(set) var channels = 0
  private(set) var foreground: [Window] = []
  /// Their class is 0.
  private(set) var background: [Window] = []

  /// - Parameters:
  ///   - foregroundFrom: the overlap from which a window counts as object.
  ///   - backgroundBelow: the overlap below which it counts as background; those between are left out.
  /// - Throws: `unreadableFile`; `badList` at the line that is wrong.
  init(path: String, foregroundFrom: Float, backgroundBelow: Float) throws {
    let bytes: [UInt8]
    do {
      bytes = try readFile(path.utf8)
    } catch let fault as Diagnostic {
      throw Diagnostic(fault.code, "cannot read the window file '\(path)': \(fault.message)")
    }
    var words = Words(bytes, file: path)
    while let mark = words.next() {
      guard mark == "#" else { throw words.fault("'\(mark)' stands where an image must begin with '#'") }
      _ = try words.integer("the number of the image")
      guard let image = words.next() else { throw words.fault("the file ends before the path of an image") }
      let depth = try words.integer("the channels of '\(image)'")
      guard depth == 1 || depth == 3 else { throw words.fault("'\(image)' has \(depth) channels; 1 or 3 are wanted") }
      guard images.isEmpty || depth == channels else {
        throw words.fault("'\(image)' has \(depth) channels, but the images before it \(channels)")
      }
      channels = depth
      _ = try (words.integer("the height of '\(image)'"), words.integer("the width of '\(image)'"))
      let count = try words.integer("the number of windows of '\(image)'")
      for _ in 0..<max(0, count) {
        let label = try words.integer("the class of a window")
        let overlap = try words.number("the overlap of a window")
        var window = Window(image: images.count, label: label, x1: 0, y1: 0, x2: 0, y2: 0, line: words.line)
        window.x1 = try words.integer("the x1 of a window")
        window.y1 = try words.integer("the y1 of a window")
        window.x2 = try words.integer("the x2 of a window")
        window.y2 = try words.integer("the y2 of a window")
        if overlap >= foregroundFrom {
          guard label > 0 else {
            throw words.fault("a window with overlap \(overlap) is foreground, but its class is \(label)")
          }
          foreground.append(window)
        } else if overlap < backgroundBelow {
          window.label = 0
          background.append(window)
        }
      }
      images.append(image)
    }
    if images.isEmpty { throw Diagnostic(.badList, "the window file '\(path)' is empty") }
  }
}

/// The words of a text, one after the other.
private struct Words {
  private let bytes: [UInt8]
  private let file: String
  private var place = 0
  /// Of the last word, from 1.
  private(set) var line = 1

  init(_ bytes: [UInt8], file: String) {
    self.bytes = bytes
    self.file = file
  }

  mutating func next() -> String? {
    while place < bytes.count, bytes[place] <= 0x20 {
      if bytes[place] == 0x0a { line += 1 }
      place += 1
    }
    let start = place
    while place < bytes.count, bytes[place] > 0x20 { place += 1 }
    return start == place ? nil : String(decoding: bytes[start..<place], as: UTF8.self)
  }

  mutating func integer(_ what: String) throws -> Int {
    let number = try number(what)
    // Coordinates are whole numbers; what a tool wrote as 12.0 is one too.
    guard abs(number) < 1e9 else { throw fault("\(what), \(number), is too large") }
    return Int(number)
  }

  mutating func number(_ what: String) throws -> Float {
    guard let word = next() else { throw fault("the file ends before \(what)") }
    guard let number = Float(word), number.isFinite else { throw fault("\(what), '\(word)', is not a number") }
    return number
  }

  func fault(_ message: String) -> Diagnostic {
    Diagnostic(.badList, message, at: SourceLocation(file: file, line: line))
  }
}
