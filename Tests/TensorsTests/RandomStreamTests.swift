import Tensors
import Testing

@Suite struct RandomStreamTests {
  @Test func sameKeySameNumbersOtherKeyOthers() {
    let a = RandomStream(seed: 1, 2, 3)
    let b = RandomStream(seed: 1, 2, 3)
    let c = RandomStream(seed: 1, 3, 2)
    #expect((0..<100).allSatisfy { a.bits($0) == b.bits($0) })
    #expect((0..<100).allSatisfy { a.bits($0) != c.bits($0) })
  }

  @Test func uniformHasItsMoments() {
    let stream = RandomStream(seed: 7)
    let n = 100_000
    let values = (0..<n).map { Double(stream.uniform($0)) }
    let mean = values.reduce(0, +) / Double(n)
    let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(n)
    #expect(abs(mean - 0.5) < 0.005)
    #expect(abs(variance - 1.0 / 12) < 0.002)
    #expect(values.allSatisfy { $0 >= 0 && $0 < 1 })
  }

  @Test func normalHasItsMoments() {
    let stream = RandomStream(seed: 7)
    let n = 100_000
    let values = (0..<n).map { stream.normal($0) }
    let mean = values.reduce(0, +) / Double(n)
    let variance = values.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(n)
    #expect(abs(mean) < 0.02)
    #expect(abs(variance - 1) < 0.02)
  }

  @Test(arguments: [0, 1, 2, 1000])
  func permutationsHoldEachIndexOnce(_ count: Int) {
    let order = RandomStream(seed: 3, 9).permutation(count)
    #expect(order.sorted() == Array(0..<count))
    if count == 1000 { #expect(order != Array(0..<count)) }
  }

  @Test func integersCoverTheirRangeEvenly() {
    let stream = RandomStream(seed: 5)
    var histogram = [Int](repeating: 0, count: 7)
    for i in 0..<70_000 { histogram[stream.integer(i, below: 7)] += 1 }
    #expect(histogram.allSatisfy { abs($0 - 10_000) < 500 })
  }
}
