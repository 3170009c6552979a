import Layers
import Nets
import Tensors
import Testing

/// Losses, metrics and normalisations of batches without anything to tell apart: vectors of length 0, and vectors and labels
/// that are all one.
@Suite struct DegenerateBatchTests {
  /// Layers that divide by a length, a deviation or a sum.
  static let normalisations = [
    "BatchNorm", "BN", "ChannelNormalization", "InnerDistance", "LargeMarginInnerProduct", "LayerNorm", "LRN",
    "MarginInnerProduct", "MVN", "Norm", "Normalization", "NormalizationL2", "Normalize", "Softmax",
  ]

  static let cases = SweepTests.cases.filter { test in
    layerTypes.contains { $0.type == test.type && ($0.role == .loss || $0.role == .metric) }
      || normalisations.contains(test.type)
  }

  private func expectFinite(_ test: SweepTests.Case, _ change: (SweepNet, LayerExample.Input, Int) -> Void) throws {
    let net = try SweepNet(test.example, engine: SweepTests.engine(test.engine))
    try net.draw(seed: 6)
    for (index, input) in test.example.inputs.enumerated() { change(net, input, index) }
    try net.forward()
    try net.backward()
    #expect(try net.outputs().allSatisfy { $0.allSatisfy(\.isFinite) })
    #expect(try net.inputGradients().allSatisfy { $0.allSatisfy(\.isFinite) })
    #expect(net.parameterGradients().allSatisfy { $0.allSatisfy(\.isFinite) })
  }

  @Test(arguments: cases)
  func vectorsOfLengthZero(_ test: SweepTests.Case) throws {
    try expectFinite(test) { net, input, index in
      if case .labels = input { return }
      net.fillInput(index) { _ in 0 }
    }
  }

  /// No pair is unlike, no triplet has a negative, no class but one occurs.
  @Test(arguments: cases)
  func oneRecordManyTimes(_ test: SweepTests.Case) throws {
    try expectFinite(test) { net, input, index in
      for row in 1..<max(2, input.shape.extent(0)) where row < input.shape.extent(0) {
        net.repeatFirstRow(ofInput: index, in: row)
      }
    }
  }

  /// Copies of one vector under different labels: no positive pair is nearer than a negative one.
  @Test(arguments: cases)
  func oneVectorOfManyLabels(_ test: SweepTests.Case) throws {
    try expectFinite(test) { net, input, index in
      if case .labels = input { return }
      for row in 1..<max(2, input.shape.extent(0)) where row < input.shape.extent(0) {
        net.repeatFirstRow(ofInput: index, in: row)
      }
    }
  }
}
