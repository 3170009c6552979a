import Compute
import ComputeCases
import ComputeReference
import Testing

/// The measure itself: it must see what it is there to see.
@Suite struct ComparisonTests {
  @Test(
    arguments: [
      ([1, 2], [1, 2], true), ([1, 2.0001], [1, 2], true), ([1, 2.01], [1, 2], false), ([1.0001, 2], [1, 2], true),
      ([1], [1, 2], false), ([.nan, 2], [.nan, 2], true), ([.nan, 2], [1, 2], false), ([1, 2], [.nan, 2], false),
      ([.infinity], [.infinity], true), ([-.infinity], [.infinity], false), ([3], [.infinity], false),
      ([.infinity], [3], false), ([1e-3, 0], [0, 0], false), ([0.1, -1000], [0, -1000], true),
    ] as [([Float], [Float], Bool)])
  func measuresAgainstTheLargestValue(_ values: [Float], _ expected: [Float], _ isSame: Bool) {
    #expect((discrepancy(values, from: expected, tolerance: 1e-3) == nil) == isSame)
  }

  /// Bit for bit: a run leaves nothing behind that changes the next one.
  @Test(arguments: OpCase.small)
  func referenceAgreesWithItself(_ opCase: OpCase) throws {
    try compare(engine: ReferenceEngine(), against: ReferenceEngine(), case: opCase, offer: .convolution, tolerance: 0)
  }
}
