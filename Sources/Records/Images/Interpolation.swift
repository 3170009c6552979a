import Glibc

/// How the pixels of a resized picture come from those of the old one, as OpenCV's modes of the same names.
enum Interpolation: Sendable {
  case linear, area, nearest, cubic, lanczos
}

extension Image {
  /// The picture scaled to another size. Linear is exact to OpenCV's pixel, the others to its rounding (at most 1).
  func resized(height newHeight: Int, width newWidth: Int, by interpolation: Interpolation) -> Image {
    if newHeight == height && newWidth == width { return self }
    if interpolation == .linear { return resized(height: newHeight, width: newWidth) }
    let enlarges = newHeight > height || newWidth > width
    let rows = Weights(interpolation, newHeight, from: height, enlarges: enlarges)
    let columns = Weights(interpolation, newWidth, from: width, enlarges: enlarges)
    // Rows first: height new x width old.
    let rowSize = width * channels
    var between = [Float](repeating: 0, count: newHeight * rowSize)
    for y in 0..<newHeight {
      for (row, weight) in rows[y] {
        between.withUnsafeMutableBufferPointer { between in
          pixels.withUnsafeBufferPointer { pixels in
            for x in 0..<rowSize { between[y * rowSize + x] += weight * Float(pixels[row * rowSize + x]) }
          }
        }
      }
    }
    let result = [UInt8](unsafeUninitializedCapacity: newHeight * newWidth * channels) { output, count in
      between.withUnsafeBufferPointer { between in
        for y in 0..<newHeight {
          for x in 0..<newWidth {
            for channel in 0..<channels {
              var sum: Float = 0
              for (column, weight) in columns[x] { sum += weight * between[y * rowSize + column * channels + channel] }
              output[(y * newWidth + x) * channels + channel] = rounded(sum)
            }
          }
        }
      }
      count = newHeight * newWidth * channels
    }
    return Image(height: newHeight, width: newWidth, channels: channels, pixels: result)
  }
}

/// For each new place along one side, the old places that it comes from and their weights.
private struct Weights {
  private var taps: [[(Int, Float)]]

  subscript(place: Int) -> [(Int, Float)] { taps[place] }

  /// - Parameter enlarges: whether either side grows: area then becomes a kind of linear.
  init(_ interpolation: Interpolation, _ newSize: Int, from size: Int, enlarges: Bool) {
    let scale = Double(size) / Double(newSize)
    taps = (0..<newSize).map { place in
      switch interpolation {
      case .nearest: return [(min(Int(Double(place) * scale), size - 1), 1)]
      case .area:
        return enlarges ? Weights.stretched(place, scale, size) : Weights.area(place, scale, size)
      case .cubic: return Weights.around(place, scale, size, reach: 2) { Weights.cubic($0) }
      case .lanczos: return Weights.around(place, scale, size, reach: 4) { Weights.lanczos($0) }
      case .linear: return Weights.around(place, scale, size, reach: 1) { max(0, 1 - abs($0)) }
      }
    }
  }

  /// The share of each old pixel that the new one covers.
  private static func area(_ place: Int, _ scale: Double, _ size: Int) -> [(Int, Float)] {
    let (start, end) = (Double(place) * scale, min(Double(place + 1) * scale, Double(size)))
    return (Int(start)..<min(size, Int(end.rounded(.up)))).map { old in
      let share = min(end, Double(old + 1)) - max(start, Double(old))
      return (old, Float(share / (end - start)))
    }.filter { $0.1 > 1e-6 }
  }

  private static func stretched(_ place: Int, _ scale: Double, _ size: Int) -> [(Int, Float)] {
    let first = Int(Double(place) * scale)
    let reach = Double(place + 1) - Double(first + 1) / scale
    let share = reach <= 0 ? 0 : Float(reach - reach.rounded(.down))
    return [(min(first, size - 1), 1 - share), (min(first + 1, size - 1), share)]
  }

  private static func around(
    _ place: Int, _ scale: Double, _ size: Int, reach: Int, _ weight: (Double) -> Double
  ) -> [(Int, Float)] {
    let center = (Double(place) + 0.5) * scale - 0.5
    let first = Int(center.rounded(.down)) - reach + 1
    let weights = (first..<first + 2 * reach).map { weight(Double($0) - center) }
    let sum = weights.reduce(0, +)
    return weights.enumerated().map { (max(0, min(size - 1, first + $0)), Float($1 / sum)) }
  }

  /// Keys' cubic convolution with a = -0.75.
  private static func cubic(_ distance: Double) -> Double {
    let (x, a) = (abs(distance), -0.75)
    if x <= 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0
  }

  /// Lanczos' window of 4 lobes.
  private static func lanczos(_ distance: Double) -> Double {
    if abs(distance) < 1e-7 { return 1 }
    let x = Double.pi * distance
    return abs(distance) < 4 ? 4 * sin(x) * sin(x / 4) / (x * x) : 0
  }
}
