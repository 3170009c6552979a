extension Image {
  /// The image scaled to another size, bilinear, with the arithmetic of OpenCV's `resize` for bytes (INTER_LINEAR), so
  /// that every pixel is the same.
  ///
  /// Pixel centres are at half-integers. Weights are rounded to 11 bits; the rows are weighted first, the sums cut
  /// by 4 bits, and the columns' products cut by 16 bits each before they are added and rounded. Halving both sides is
  /// a mean of 2 x 2 pixels. After OpenCV 4, modules/imgproc/src/resize.cpp.
  package func resized(height newHeight: Int, width newWidth: Int) -> Image {
    precondition(newHeight > 0 && newWidth > 0)
    if newHeight == height && newWidth == width { return self }
    let count = newHeight * newWidth * channels
    let isHalf = height == 2 * newHeight && width == 2 * newWidth
    let resized = [UInt8](unsafeUninitializedCapacity: count) { output, initialized in
      pixels.withUnsafeBufferPointer { input in
        guard let from = input.baseAddress, let into = output.baseAddress else { return }
        if isHalf {
          halve(from, into: into)
        } else {
          interpolate(from, into: into, newHeight: newHeight, newWidth: newWidth)
        }
      }
      initialized = count
    }
    return Image(height: newHeight, width: newWidth, channels: channels, pixels: resized)
  }

  private func halve(_ from: UnsafePointer<UInt8>, into: UnsafeMutablePointer<UInt8>) {
    let rowSize = width * channels
    var output = into
    for y in stride(from: 0, to: height, by: 2) {
      for x in stride(from: 0, to: rowSize, by: 2 * channels) {
        for channel in 0..<channels {
          let upper = from + (y &* rowSize &+ x &+ channel)
          let lower = upper + rowSize
          let sum = Int32(upper[0]) &+ Int32(upper[channels]) &+ Int32(lower[0]) &+ Int32(lower[channels])
          output[channel] = UInt8(truncatingIfNeeded: (sum &+ 2) >> 2)
        }
        output += channels
      }
    }
  }

  private func interpolate(
    _ from: UnsafePointer<UInt8>, into: UnsafeMutablePointer<UInt8>, newHeight: Int, newWidth: Int
  ) {
    let columns = (0..<newWidth).map { Tap(at: $0, of: newWidth, from: width, clampsWeights: true) }
    let rowSize = newWidth * channels
    withUnsafeTemporaryAllocation(of: Int16.self, capacity: 2 * rowSize) { scratch in
      guard let scratch = scratch.baseAddress else { return }
      // The two rows that were weighted last; going down, the lower one often becomes the upper one.
      var (upper, lower) = (scratch, scratch + rowSize)
      var (upperRow, lowerRow) = (-1, -1)
      for y in 0..<newHeight {
        let tap = Tap(at: y, of: newHeight, from: height, clampsWeights: false)
        if tap.first == lowerRow {
          swap(&upper, &lower)
          swap(&upperRow, &lowerRow)
        }
        if tap.first != upperRow {
          weightRow(from + tap.first * width * channels, columns, into: upper)
          upperRow = tap.first
        }
        if tap.second != lowerRow {
          weightRow(from + tap.second * width * channels, columns, into: lower)
          lowerRow = tap.second
        }
        let output = into + y * rowSize
        let (firstWeight, secondWeight) = (tap.firstWeight, tap.secondWeight)
        for x in 0..<rowSize {
          let first = (Int32(upper[x]) &* firstWeight) >> 16
          let second = (Int32(lower[x]) &* secondWeight) >> 16
          output[x] = UInt8(truncatingIfNeeded: (first &+ second &+ 2) >> 2)
        }
      }
    }
  }

  /// Weights a row of pixels along the width; the result is at most 255 * 2048 / 16.
  private func weightRow(_ row: UnsafePointer<UInt8>, _ taps: [Tap], into: UnsafeMutablePointer<Int16>) {
    taps.withUnsafeBufferPointer { taps in
      var output = into
      for tap in taps {
        let first = row + tap.first &* channels
        let second = row + tap.second &* channels
        for channel in 0..<channels {
          let sum = Int32(first[channel]) &* tap.firstWeight &+ Int32(second[channel]) &* tap.secondWeight
          output[channel] = Int16(truncatingIfNeeded: sum >> 4)
        }
        output += channels
      }
    }
  }
}

/// The two pixels along one side that make up a new one, and their weights in 1/2048.
private struct Tap {
  let first: Int
  let second: Int
  let firstWeight: Int32
  let secondWeight: Int32

  /// - Parameter clampsWeights: whether a new pixel outside the old centres takes one pixel with the full weight (so
  ///   along the width) or the same pixel twice (along the height); the rounding differs.
  init(at position: Int, of newSize: Int, from size: Int, clampsWeights: Bool) {
    let scale = 1 / (Double(newSize) / Double(size))
    var place = Float((Double(position) + 0.5) * scale - 0.5)
    var index = Int(place.rounded(.down))
    place -= Float(index)
    if clampsWeights && (index < 0 || index >= size - 1) {
      index = index < 0 ? 0 : size - 1
      place = 0
    }
    first = min(max(index, 0), size - 1)
    second = min(max(index + 1, 0), size - 1)
    firstWeight = Int32(((1 - place) * 2048).rounded(.toNearestOrEven))
    secondWeight = Int32((place * 2048).rounded(.toNearestOrEven))
  }
}
