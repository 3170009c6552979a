extension Image {
  /// What fills the margins of a padded picture.
  enum Padding: Sendable {
    /// A value for each channel.
    case constant([UInt8])
    /// The picture mirrored at its outermost pixels, which are not repeated.
    case mirrored
    /// The outermost pixels.
    case nearest

    /// The old row or column that new place `place` takes; nil for the constant.
    fileprivate func source(_ place: Int, of size: Int) -> Int? {
      if place >= 0 && place < size { return place }
      switch self {
      case .constant: return nil
      case .nearest: return place < 0 ? 0 : size - 1
      case .mirrored:
        if size == 1 { return 0 }
        let period = 2 * (size - 1)
        let rest = ((place % period) + period) % period
        return rest < size ? rest : period - rest
      }
    }
  }

  /// The picture with margins.
  func padded(top: Int, bottom: Int, left: Int, right: Int, _ padding: Padding) -> Image {
    let (newHeight, newWidth) = (top + height + bottom, left + width + right)
    let rows = (0..<newHeight).map { padding.source($0 - top, of: height) }
    let columns = (0..<newWidth).map { padding.source($0 - left, of: width) }
    var fill = [UInt8](repeating: 0, count: channels)
    if case .constant(let values) = padding { fill = values }
    let padded = [UInt8](unsafeUninitializedCapacity: newHeight * newWidth * channels) { output, count in
      var place = 0
      for row in rows {
        for column in columns {
          for channel in 0..<channels {
            if let row, let column {
              output[place] = pixels[(row * width + column) * channels + channel]
            } else {
              output[place] = fill[channel]
            }
            place += 1
          }
        }
      }
      count = place
    }
    return Image(height: newHeight, width: newWidth, channels: channels, pixels: padded)
  }

  /// The part with its first row and column at `top` and `left`; it must lie inside.
  func cropped(top: Int, left: Int, height newHeight: Int, width newWidth: Int) -> Image {
    precondition(top >= 0 && left >= 0 && top + newHeight <= height && left + newWidth <= width)
    var part: [UInt8] = []
    part.reserveCapacity(newHeight * newWidth * channels)
    for row in top..<top + newHeight {
      let start = (row * width + left) * channels
      part += pixels[start..<start + newWidth * channels]
    }
    return Image(height: newHeight, width: newWidth, channels: channels, pixels: part)
  }

  /// The picture with left and right exchanged.
  var mirrored: Image {
    var result = pixels
    for row in 0..<height {
      for column in 0..<width {
        for channel in 0..<channels {
          result[(row * width + column) * channels + channel] =
            pixels[(row * width + width - 1 - column) * channels + channel]
        }
      }
    }
    return Image(height: height, width: width, channels: channels, pixels: result)
  }
}
