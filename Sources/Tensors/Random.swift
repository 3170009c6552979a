/// Random numbers by key and index: the same key gives the same numbers, whatever the order, the thread or the run.
///
/// Draws are keyed by what they are for (seed, layer, iteration; or seed, record, epoch), so that prefetch threads and
/// a resumed run change nothing. The mixing function is SplitMix64's (Steele, Lea, Flood: Fast splittable pseudorandom
/// number generators, OOPSLA 2014).
package struct RandomStream: Sendable {
  private let key: UInt64

  package init(seed: UInt64) { key = RandomStream.mix(seed &+ RandomStream.golden) }

  package init(seed: UInt64, _ part: UInt64) { self = RandomStream(seed: seed).with(part) }

  package init(seed: UInt64, _ first: UInt64, _ second: UInt64) {
    self = RandomStream(seed: seed).with(first).with(second)
  }

  private init(key: UInt64) { self.key = key }

  private func with(_ part: UInt64) -> RandomStream {
    RandomStream(key: RandomStream.mix(key ^ RandomStream.mix(part &+ RandomStream.golden)))
  }

  /// A key part from a name: FNV-1a, 64 bit.
  package static func part(_ name: String) -> UInt64 {
    name.utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  }

  private static let golden: UInt64 = 0x9e37_79b9_7f4a_7c15

  @inline(__always)
  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// 64 random bits for draw number `index`.
  @inline(__always)
  package func bits(_ index: Int) -> UInt64 {
    RandomStream.mix(key &+ UInt64(bitPattern: Int64(index &+ 1)) &* RandomStream.golden)
  }

  /// Uniform in [0, 1), 24 bits.
  @inline(__always)
  package func uniform(_ index: Int) -> Float { Float(bits(index) >> 40) * 0x1p-24 }

  /// Uniform in 0 ..< bound.
  @inline(__always)
  package func integer(_ index: Int, below bound: Int) -> Int {
    Int(truncatingIfNeeded: bits(index).multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// Uniform in [0, 1), 53 bits.
  package func uniformDouble(_ index: Int) -> Double { Double(bits(index) >> 11) * 0x1p-53 }

  /// A permutation of 0 ..< count (Fisher and Yates).
  package func permutation(_ count: Int) -> [Int] {
    var order = Array(0..<count)
    guard count > 1 else { return order }
    for i in stride(from: count - 1, to: 0, by: -1) { order.swapAt(i, integer(i, below: i + 1)) }
    return order
  }
}
