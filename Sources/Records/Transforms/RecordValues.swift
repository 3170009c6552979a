import CaffeSchema
import Foundation
import Tensors

/// A record's values as its source keeps them.
struct RecordValues {
  enum Storage {
    /// A plane for each channel.
    case planes(Data)
    case floats([Float])
    /// Decoded: the channels of a pixel side by side.
    case image(Image)
  }

  /// C x H x W.
  let shape: Shape
  let storage: Storage

  init(shape: Shape, storage: Storage) {
    self.shape = shape
    self.storage = storage
  }

  init(_ image: Image) {
    self.init(shape: [image.channels, image.height, image.width], storage: .image(image))
  }

  /// The record as a picture; nil for floats, and for anything but 1 or 3 channels.
  var image: Image? {
    switch storage {
    case .image(let image): return image
    case .floats: return nil
    case .planes(let bytes):
      guard shape[0] == 1 || shape[0] == 3 else { return nil }
      let (channels, area) = (shape[0], shape[1] * shape[2])
      var pixels = [UInt8](repeating: 0, count: bytes.count)
      bytes.withUnsafeBytes { (bytes: UnsafeRawBufferPointer) in
        for channel in 0..<channels {
          for place in 0..<area { pixels[place * channels + channel] = bytes[channel * area + place] }
        }
      }
      return Image(height: shape[1], width: shape[2], channels: channels, pixels: pixels)
    }
  }
}
