import Synchronization
import Testing

@testable import Records

@Suite struct OrderedWorkTests {
  @Test(arguments: [1, 2, 7], [0, 1, 5, 1000]) func takesInOrder(_ threads: Int, _ count: Int) throws {
    var taken: [Int] = []
    try inOrder(count: count, threads: threads, size: { _ in 1 }, work: { $0 * $0 }) { piece, result in
      #expect(result == piece * piece)
      taken.append(piece)
    }
    #expect(taken == Array(0..<count))
  }

  /// Results of 100 MiB each: one waits while another is made, and there is never a third.
  @Test func boundsTheResultsThatWait() throws {
    let done = Atomic(0)
    var taken = 0
    try inOrder(
      count: 50, threads: 4, size: { _ in 300 << 20 }, work: { _ in done.add(1, ordering: .relaxed) }
    ) { _, _ in
      taken += 1
      // Those in work when the budget is overdrawn, and the next one.
      #expect(done.load(ordering: .relaxed) <= taken + 5)
    }
    #expect(done.load(ordering: .relaxed) == 50)
  }

  @Test func stopsWhenTakingFails() throws {
    struct Stop: Error {}
    let done = Atomic(0)
    #expect(throws: Stop.self) {
      try inOrder(count: 1_000_000, threads: 3, size: { _ in 1 }, work: { _ in done.add(1, ordering: .relaxed) }) {
        piece, _ in
        if piece == 10 { throw Stop() }
      }
    }
    #expect(done.load(ordering: .relaxed) < 100)
  }
}
