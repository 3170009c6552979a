/// An 8-bit picture.
package struct Image: Equatable, Sendable {
  package let height: Int
  package let width: Int
  /// 1 (grey) or 3 (blue, green, red).
  package let channels: Int
  /// height x width x channels, the channels of a pixel side by side, top row first.
  package let pixels: [UInt8]

  package init(height: Int, width: Int, channels: Int, pixels: [UInt8]) {
    precondition(pixels.count == height * width * channels)
    self.height = height
    self.width = width
    self.channels = channels
    self.pixels = pixels
  }

  /// The pixels as a record holds them: channels x height x width, a plane for each channel.
  package var planes: [UInt8] {
    if channels == 1 { return pixels }
    let area = height * width
    return [UInt8](unsafeUninitializedCapacity: pixels.count) { planes, count in
      pixels.withUnsafeBufferPointer { pixels in
        guard let from = pixels.baseAddress, let into = planes.baseAddress else { return }
        for channel in 0..<channels {
          let plane = into + channel * area
          for i in 0..<area { plane[i] = from[i &* channels &+ channel] }
        }
      }
      count = pixels.count
    }
  }
}
