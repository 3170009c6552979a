import Testing

@testable import Layers

/// By hand.
@Suite struct VerificationScoresTests {
  /// Distances that part alike from unlike pairs, but for one of either.
  static let scores = VerificationScores([
    (0.1, true), (0.9, false), (0.2, true), (0.8, false), (0.3, true), (0.25, false), (0.7, true), (0.95, false),
  ])

  @Test func eachFoldTakesTheThresholdOfTheOthers() {
    // The second fold is alike at 0.3 and 0.7, unlike at 0.25 and 0.95: best half-way from 0.7 to 0.95. The first is alike
    // at 0.1 and 0.2, unlike at 0.8 and 0.9: best half-way from 0.2 to 0.8.
    let accuracy = Self.scores.accuracy(folds: 2)
    // With 0.825, of the first fold the pair at 0.8 is wrong: 3 of 4. With 0.5, of the second those at 0.25 and 0.7: 2 of 4.
    #expect(accuracy.mean == 0.625)
    // Deviation 0.125 * root 2 over root 2.
    #expect(abs(accuracy.standardError - 0.125) < 1e-6)
  }

  @Test func trueAcceptRateAtFalseAcceptRate() {
    // Nearer than 0.25 are two alike pairs and no other; nearer than 0.8 all four and one of four others.
    #expect(Self.scores.trueAcceptRate(at: 0) == 0.5)
    #expect(Self.scores.trueAcceptRate(at: 0.2) == 0.5)
    #expect(Self.scores.trueAcceptRate(at: 0.25) == 1)
    #expect(Self.scores.trueAcceptRate(at: 1) == 1)
  }

  @Test func cornersOfTheCurve() {
    let corners = Self.scores.rocCorners
    #expect(corners.map(\.x) == [0, 0, 0.25, 0.25, 1])
    #expect(corners.map(\.y) == [0, 0.5, 0.5, 1, 1])
  }

  /// Pairs at one distance cannot be parted.
  @Test func pairsThatAreAlike() {
    let scores = VerificationScores([(1, true), (1, false), (1, true), (1, false), (1, true)])
    #expect(scores.trueAcceptRate(at: 0.5) == 0)
    #expect(scores.trueAcceptRate(at: 1) == 1)
    #expect(scores.rocCorners.map(\.x) == [0, 1])
    // Without an alike pair the others are half alike, and none is taken for alike; without an unlike one all are.
    #expect(scores.accuracy(folds: 5).mean == 0)
  }

  @Test func nothingToTell() {
    for pairs: [(distance: Float, isAlike: Bool)] in [[], [(1, true)]] {
      #expect(VerificationScores(pairs).accuracy(folds: 10).mean == 0)
      #expect(VerificationScores(pairs).rocCorners.isEmpty)
    }
    let alike = VerificationScores([(1, true), (2, true), (.nan, true)])
    #expect(alike.trueAcceptRate(at: 0) == 1)
    #expect(alike.rocCorners.isEmpty)
  }
}
