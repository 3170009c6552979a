import CaffeSchema
import Testing

@testable import Records

@Suite struct RecordMixtureTests {
  private func sources(_ mixture: RecordMixture, _ count: Int) -> [[Int]] {
    (0..<count).map { place in
      let (source, own) = mixture.source(of: place)
      return [source, own]
    }
  }

  @Test func inProportionEachRecordComesOnceInARound() {
    let mixture = RecordMixture(.inProportion, counts: [4, 2], weights: [1, 1])
    let round = sources(mixture, 6)
    #expect(round == [[0, 0], [1, 0], [0, 1], [0, 2], [1, 1], [0, 3]])
    #expect(sources(mixture, 12).suffix(6).map { $0[1] } == [4, 2, 5, 6, 3, 7])
  }

  @Test func inTurn() {
    let mixture = RecordMixture(.inTurn, counts: [100, 2, 7], weights: [1, 1, 1])
    #expect(sources(mixture, 7) == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1], [0, 2]])
  }

  @Test func byWeight() {
    let mixture = RecordMixture(.byWeight, counts: [5, 5, 5], weights: [3, 1, 1e-9])
    let all = sources(mixture, 4004)
    let shares = (0..<3).map { source in all.count { $0[0] == source } }
    #expect(abs(shares[0] - 3000) <= 3 && abs(shares[1] - 1000) <= 3 && (3...5).contains(shares[2]))
    // Evenly: no run of the first source longer than its share asks for.
    #expect((0..<4000).allSatisfy { start in all[start..<(start + 4)].contains { $0[0] != 0 } })
  }

  /// A source's own places follow one another without a gap.
  @Test(arguments: [DataParameter.Mixing.inProportion, .inTurn, .byWeight])
  func noRecordIsLeftOut(_ mixing: DataParameter.Mixing) {
    let mixture = RecordMixture(mixing, counts: [7, 3, 5], weights: [0.2, 0.7, 0.1])
    var next = [0, 0, 0]
    for place in 0..<5000 {
      let (source, own) = mixture.source(of: place)
      #expect(own == next[source])
      next[source] += 1
    }
  }
}
