import CImages
import Diagnostics

/// Which channels a decoded image is to have.
package enum ImageChannels: Sendable {
  /// One for a grey file, three for any other.
  case asStored
  /// One: 0.299 red + 0.587 green + 0.114 blue of a colour file.
  case gray
  /// Three: blue, green, red; a grey file has them equal.
  case color
}

extension Image {
  /// Decodes a JPEG, a PNG or a file of any format that gdk-pixbuf knows on this machine.
  ///
  /// The pixels are those that OpenCV's `imread` gives (checked with 4.6 and 4.12): the camera's orientation mark is
  /// applied, 16 bits are cut to 8, alpha is dropped and not blended, inks (CMYK) become blue, green, red.
  /// Files that end too early or hold damaged data are refused, where `imread` may fill in grey.
  ///
  /// Throws a `Diagnostic` (`badImage`) that says what is wrong with the bytes, without a location.
  package init(decoding bytes: UnsafeRawBufferPointer, as channels: ImageChannels) throws {
    var message = [CChar](repeating: 0, count: Int(CIMAGES_MESSAGE))
    var shape = cimages_shape()
    let start = bytes.bindMemory(to: UInt8.self).baseAddress
    guard let decoder = cimages_open(start, bytes.count, channels.cValue, &shape, &message) else {
      throw Diagnostic(.badImage, text(of: message))
    }
    defer { cimages_close(decoder) }
    let (height, width, depth) = (Int(shape.height), Int(shape.width), Int(shape.channels))
    let pixels = try [UInt8](unsafeUninitializedCapacity: height * width * depth) { pixels, count in
      guard cimages_read(decoder, pixels.baseAddress, &message) != 0 else {
        throw Diagnostic(.badImage, text(of: message))
      }
      count = height * width * depth
    }
    self.init(height: height, width: width, channels: depth, pixels: pixels)
  }

  /// Decodes an image file in memory; see the other form.
  package init(decoding bytes: [UInt8], as channels: ImageChannels) throws {
    self = try bytes.withUnsafeBytes { try Image(decoding: $0, as: channels) }
  }
}

extension ImageChannels {
  fileprivate var cValue: cimages_channels {
    switch self {
    case .asStored: CIMAGES_AS_STORED
    case .gray: CIMAGES_GRAY
    case .color: CIMAGES_BGR
    }
  }
}

/// The text in a buffer that a C function filled.
func text(of message: [CChar]) -> String {
  String(decoding: message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
