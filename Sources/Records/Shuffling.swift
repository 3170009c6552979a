/// The SplitMix64 generator (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
package struct SplitMix64: RandomNumberGenerator, Sendable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var mixed = state
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    return mixed ^ (mixed >> 31)
  }
}

/// A random order of 0 to `count` - 1, the same for a seed on every machine and in every version.
///
/// Fisher and Yates' shuffle from the last place down; the place to swap with is the upper half of the 128-bit product
/// of SplitMix64's next number and the number of places left.
package func shuffledOrder(count: Int, seed: UInt64) -> [Int] {
  var order = Array(0..<count)
  var generator = SplitMix64(seed: seed)
  for last in stride(from: count - 1, to: 0, by: -1) {
    order.swapAt(last, Int(generator.next().multipliedFullWidth(by: UInt64(last + 1)).high))
  }
  return order
}
