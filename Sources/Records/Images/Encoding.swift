import CImages
import Diagnostics

/// A format that images can be written in.
package enum ImageFormat: String, CaseIterable, Sendable {
  case png, jpeg, bmp

  /// The format that a file's extension (without the dot, in any letter case) stands for.
  package init?(extension name: some StringProtocol) {
    let name = name.lowercased()
    self.init(rawValue: name == "jpg" ? "jpeg" : name)
  }
}

extension Image {
  /// The bytes of an image file.
  ///
  /// They are those that OpenCV's `imencode` gives with its default settings (JPEG: quality 95, 4:2:0; PNG: fastest
  /// level).
  /// Throws a `Diagnostic` (`badImage`) for an image that the format cannot hold.
  package func encoded(as format: ImageFormat) throws -> [UInt8] {
    switch format {
    case .bmp: encodedAsBitmap()
    case .jpeg: try encodedAsJPEG(quality: 95)
    case .png: try encoded { cimages_encode_png(pixels, $0, $1, $2) }
    }
  }

  /// - Parameter quality: from 1 to 100.
  func encodedAsJPEG(quality: Int) throws -> [UInt8] {
    try encoded { cimages_encode_jpeg(pixels, $0, Int32(quality), $1, $2) }
  }

  private func encoded(
    _ encode: (
      cimages_shape, _ count: UnsafeMutablePointer<Int>, _ message: UnsafeMutablePointer<CChar>
    ) -> UnsafeMutablePointer<UInt8>?
  ) throws -> [UInt8] {
    var message = [CChar](repeating: 0, count: Int(CIMAGES_MESSAGE))
    var count = 0
    let shape = cimages_shape(height: Int32(height), width: Int32(width), channels: Int32(channels))
    guard let bytes = encode(shape, &count, &message) else { throw Diagnostic(.badImage, text(of: message)) }
    defer { cimages_free(bytes) }
    return [UInt8](UnsafeBufferPointer(start: bytes, count: count))
  }

  /// A Windows bitmap: 14 + 40 bytes of header, a palette of greys for grey images, rows from the bottom up, each
  /// filled up to a multiple of 4 bytes.
  private func encodedAsBitmap() -> [UInt8] {
    let rowSize = width * channels
    let fill = (4 - rowSize % 4) % 4
    let palette: [UInt8] = channels == 1 ? (0...255).flatMap { [$0, $0, $0, 0] } : []
    let headerSize = 54 + palette.count
    let fileSize = headerSize + height * (rowSize + fill)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(fileSize)
    func put(_ value: Int, size: Int) {
      for i in 0..<size { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * i))) }
    }
    bytes += Array("BM".utf8)
    for value in [fileSize, 0, headerSize, 40, width, height] { put(value, size: 4) }
    put(1, size: 2)
    put(8 * channels, size: 2)
    for _ in 0..<6 { put(0, size: 4) }
    bytes += palette
    for y in (0..<height).reversed() {
      bytes += pixels[y * rowSize..<(y + 1) * rowSize]
      put(0, size: fill)
    }
    return bytes
  }
}
