import CaffeSchema
import Diagnostics
import Testing

@testable import Records

@Suite struct DecodingTests {
  static let files = names(in: "\(convertFixtures)/images").sorted()

  static func bytes(_ file: String) throws -> [UInt8] { try contents(of: "\(convertFixtures)/images/\(file)") }

  @Test(arguments: files) func decodesColorAsOpenCV(_ file: String) throws {
    let golden = try records(of: "\(convertFixtures)/plain_image").first { $0.key.hasSuffix("/\(file)") }
    let datum = try Datum(serializedBytes: #require(golden).value)
    let image = try Image(decoding: DecodingTests.bytes(file), as: .color)
    #expect([image.channels, image.height, image.width] == [datum.channels, datum.height, datum.width].map(Int.init))
    #expect(image.planes == Array(datum.data))
  }

  @Test(arguments: [
    ("gray.jpg", 1), ("gray.png", 1), ("gray16.png", 1), ("gray_alpha.png", 1), ("bilevel.png", 1), ("color.png", 3),
    ("palette.png", 3), ("alpha.png", 3), ("cmyk.jpg", 3), ("baseline420.jpg", 3), ("bitmap.bmp", 3),
  ])
  func knowsStoredChannels(_ file: String, _ channels: Int) throws {
    let stored = try Image(decoding: DecodingTests.bytes(file), as: .asStored)
    #expect(stored.channels == channels)
    #expect(try stored == Image(decoding: DecodingTests.bytes(file), as: channels == 1 ? .gray : .color))
  }

  @Test func knowsGrayBitmapsAndMaps() throws {
    let image = Image(height: 2, width: 3, channels: 1, pixels: [0, 50, 100, 150, 200, 250])
    #expect(try Image(decoding: image.encoded(as: .bmp), as: .asStored) == image)
    #expect(try Image(decoding: Array("P5 3 2 255\n".utf8) + image.pixels, as: .asStored) == image)
    let color = Image(height: 1, width: 2, channels: 3, pixels: [3, 2, 1, 6, 5, 4])
    #expect(try Image(decoding: Array("P6 2 1 255\n".utf8) + [1, 2, 3, 4, 5, 6], as: .asStored) == color)
  }

  @Test(arguments: files) func refusesWhatEndsTooEarly(_ file: String) throws {
    let bytes = try DecodingTests.bytes(file)
    for end in Array(stride(from: 0, to: bytes.count - 16, by: 97)) + [bytes.count - 16] {
      let fault = #expect(throws: Diagnostic.self) { try Image(decoding: Array(bytes[..<end]), as: .color) }
      #expect(fault?.code == .badImage)
    }
  }

  @Test(arguments: files) func survivesDamage(_ file: String) throws {
    let bytes = try DecodingTests.bytes(file)
    var generator = SplitMix64(seed: 1)
    for _ in 0..<50 {
      var damaged = bytes
      for _ in 0..<10 {
        damaged[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
      }
      // Either is fine: an image, or a fault of the right kind.
      do {
        let image = try Image(decoding: damaged, as: .color)
        #expect(image.pixels.count == image.height * image.width * 3)
      } catch let fault as Diagnostic {
        #expect(fault.code == .badImage && !fault.message.isEmpty)
      }
    }
  }

  @Test(arguments: [
    ([], "the file is empty"),
    (Array("images/a.png 1 0\n".utf8), "not an image of a known format"),
    ([0xff, 0xd8, 0xff, 0xd9], "JPEG: JPEG datastream contains no image"),
    ([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a], "PNG: the file ends too early"),
    (Array("P5 70000 70000 255\n".utf8), "70000 x 70000 pixels are more than the limit of 2^30"),
    (Array("P5 4 4 255\n0123456".utf8), "the file ends before its image does"),
  ])
  func saysWhatIsWrong(_ bytes: [UInt8], _ message: String) {
    let fault = #expect(throws: Diagnostic.self) { try Image(decoding: bytes, as: .color) }
    #expect(fault?.message == message)
  }

  @Test func refusesAbsurdSizesBeforeItAllocates() throws {
    // A JPEG's size stands in its frame header (FFC0): length, precision, height, width.
    var jpeg = try DecodingTests.bytes("baseline444.jpg")
    let frame = try #require(jpeg.indices.first { jpeg[$0] == 0xff && jpeg[$0 + 1] == 0xc0 })
    jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0xff, 0xdc, 0xff, 0xdc])
    let fault = #expect(throws: Diagnostic.self) { try Image(decoding: jpeg, as: .color) }
    #expect(fault?.message == "65500 x 65500 pixels are more than the limit of 2^30")
  }
}
