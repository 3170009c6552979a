import Testing

@testable import Records

@Suite struct ShufflingTests {
  /// The published first numbers for this seed.
  @Test func isSplitMix64() {
    var generator = SplitMix64(seed: 1_234_567)
    let numbers = (0..<3).map { _ in generator.next() }
    #expect(numbers == [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423])
  }

  /// Orders are part of what users keep: they must never change.
  @Test func ordersStayForever() {
    #expect(shuffledOrder(count: 10, seed: 0) == [4, 9, 2, 5, 1, 7, 6, 0, 3, 8])
    #expect(shuffledOrder(count: 10, seed: 1) != shuffledOrder(count: 10, seed: 0))
  }

  @Test(arguments: [0, 1, 2, 1000]) func holdsEveryPlaceOnce(_ count: Int) {
    #expect(shuffledOrder(count: count, seed: 5).sorted() == Array(0..<count))
  }
}
