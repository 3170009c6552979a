/// Finds the record at a position: every 16th key of a database, for the records between are a few steps away.
struct KeyIndex: Sendable {
  private static let spacing = 16

  private var count = 0
  private var bytes: [UInt8] = []
  /// Where in `bytes` each kept key ends.
  private var ends: [Int] = []

  /// Takes the next key in order.
  mutating func append(_ key: UnsafeRawBufferPointer) {
    if count % KeyIndex.spacing == 0 {
      bytes.append(contentsOf: key)
      ends.append(bytes.count)
    }
    count += 1
  }

  /// Gives the last kept key at or before the position.
  func withLandmark<Result>(
    before position: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    let landmark = position / KeyIndex.spacing
    let start = landmark == 0 ? 0 : ends[landmark - 1]
    return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[start..<ends[landmark]])) }
  }

  /// How many records the position is after that key.
  func distance(to position: Int) -> Int { position % KeyIndex.spacing }
}
