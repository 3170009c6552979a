import Diagnostics
import Testing

@testable import Records

@Suite struct EncodingTests {
  static func noise(channels: Int) -> Image {
    var generator = SplitMix64(seed: 7)
    return Image(
      height: 13, width: 9, channels: channels,
      pixels: (0..<13 * 9 * channels).map { _ in UInt8.random(in: 0...255, using: &generator) })
  }

  @Test(arguments: [ImageFormat.png, .bmp], [1, 3]) func keepsEveryPixel(_ format: ImageFormat, _ channels: Int) throws
  {
    let image = EncodingTests.noise(channels: channels)
    #expect(try Image(decoding: image.encoded(as: format), as: .asStored) == image)
  }

  @Test(arguments: [1, 3]) func encodesJPEG(_ channels: Int) throws {
    // Columns that grow brighter, by 4 each.
    let columns: [UInt8] = (0..<24).flatMap { column in [UInt8](repeating: UInt8(60 + 4 * column), count: channels) }
    let pixels = [[UInt8]](repeating: columns, count: 16).flatMap { $0 }
    let image = Image(height: 16, width: 24, channels: channels, pixels: pixels)
    let decoded = try Image(decoding: image.encoded(as: .jpeg), as: .asStored)
    #expect([decoded.height, decoded.width, decoded.channels] == [16, 24, channels])
    #expect(zip(decoded.pixels, image.pixels).allSatisfy { abs(Int($0) - Int($1)) <= 4 })
  }

  @Test(arguments: [("png", ImageFormat.png), ("JPG", .jpeg), ("jpeg", .jpeg), ("Bmp", .bmp)])
  func knowsExtensions(_ name: String, _ format: ImageFormat) {
    #expect(ImageFormat(extension: name) == format)
  }

  @Test func refusesWhatJPEGCannotHold() {
    let image = Image(height: 1, width: 65_501, channels: 1, pixels: Array(repeating: 0, count: 65_501))
    let fault = #expect(throws: Diagnostic.self) { try image.encoded(as: .jpeg) }
    #expect(fault?.code == .badImage)
    #expect(throws: Never.self) { try image.encoded(as: .png) }
  }
}
