/// One channel of a picture, to be spread over all values from 0 to 255 as OpenCV does it for bytes.
struct Brightness {
  let height: Int
  let width: Int
  /// Row after row.
  let values: [UInt8]

  private func mapped(_ table: [UInt8]) -> Brightness {
    Brightness(height: height, width: width, values: values.map { table[Int($0)] })
  }

  /// With each value as often as any other: OpenCV's equalizeHist.
  var equalized: Brightness {
    var counts = [Int](repeating: 0, count: 256)
    for value in values { counts[Int(value)] += 1 }
    guard let lowest = counts.firstIndex(where: { $0 > 0 }), counts[lowest] < values.count else { return self }
    let scale = 255 / Float(values.count - counts[lowest])
    var table = [UInt8](repeating: 0, count: 256)
    var sum = 0
    for value in (lowest + 1)..<256 {
      sum += counts[value]
      table[value] = rounded(Float(sum) * scale)
    }
    return mapped(table)
  }

  /// The same by 8 x 8 tiles, with steep parts bounded, and between tiles interpolated: OpenCV's CLAHE with the limit 4
  /// (Zuiderveld, Graphics Gems IV, 1994).
  var equalizedByTiles: Brightness {
    let tiles = 8
    // Where it does not divide, OpenCV fills both sides up.
    let isWhole = height % tiles == 0 && width % tiles == 0
    let (more, wider) = isWhole ? (0, 0) : (tiles - height % tiles, tiles - width % tiles)
    let framed = Image(height: height, width: width, channels: 1, pixels: values)
      .padded(top: 0, bottom: more, left: 0, right: wider, .mirrored)
    let (tileHeight, tileWidth) = (framed.height / tiles, framed.width / tiles)
    let tables = (0..<tiles * tiles).map { tile in
      Brightness.table(
        framed.cropped(
          top: tile / tiles * tileHeight, left: tile % tiles * tileWidth, height: tileHeight, width: tileWidth
        ).pixels)
    }
    let columns = (0..<width).map { Brightness.neighbours($0, tile: tileWidth, tiles) }
    var result = values
    for y in 0..<height {
      let row = Brightness.neighbours(y, tile: tileHeight, tiles)
      for x in 0..<width {
        let value = Int(values[y * width + x])
        func across(_ row: Int) -> Float {
          let column = columns[x]
          return Float(tables[row * tiles + column.first][value]) * (1 - column.share)
            + Float(tables[row * tiles + column.second][value]) * column.share
        }
        result[y * width + x] = rounded(across(row.first) * (1 - row.share) + across(row.second) * row.share)
      }
    }
    return Brightness(height: height, width: width, values: result)
  }

  /// The two tiles whose middles a row or column lies between, and how near it is to the second, from 0 to 1.
  private static func neighbours(_ place: Int, tile: Int, _ tiles: Int) -> (first: Int, second: Int, share: Float) {
    let exact = Float(place) * (1 / Float(tile)) - 0.5
    let first = Int(exact.rounded(.down))
    return (max(0, first), min(tiles - 1, first + 1), exact - Float(first))
  }

  /// What each value becomes in a tile: counts beyond the limit are handed out to all values.
  private static func table(_ tile: [UInt8]) -> [UInt8] {
    var counts = [Int](repeating: 0, count: 256)
    for value in tile { counts[Int(value)] += 1 }
    let limit = max(1, 4 * tile.count / 256)
    let excess = counts.reduce(0) { $0 + max(0, $1 - limit) }
    for value in counts.indices { counts[value] = min(counts[value], limit) + excess / 256 }
    let rest = excess % 256
    if rest > 0 {
      let step = max(1, 256 / rest)
      for value in stride(from: 0, to: 256, by: step).prefix(rest) { counts[value] += 1 }
    }
    let scale = 255 / Float(tile.count)
    var sum = 0
    return counts.map { count in
      sum += count
      return rounded(Float(sum) * scale)
    }
  }
}
