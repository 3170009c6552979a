import Compute
import ComputeCases
import ComputeReference
import Diagnostics
import Testing

/// One channel; a maximum with a mask.
private func pooling(
  _ method: PoolingDescription.Method, _ bottom: [Int], to top: [Int], kernel: Int, stride: Int, pad: Int = 0,
  excludesPadding: Bool = false
) -> OpCase.Operation {
  let axes = bottom.map { _ in 1 }
  return .pooling(
    PoolingDescription(
      method: method, batch: 1, channels: 1, bottomExtents: bottom, topExtents: top, kernel: axes.map { $0 * kernel },
      stride: axes.map { $0 * stride }, pad: axes.map { $0 * pad }, excludesPadding: excludesPadding,
      wantsMask: method == .max))
}

@Suite struct PoolingTests {
  /// The fives are equal: the first one counts.
  @Test(arguments: TestedEngine.allCases)
  func maximumTakesTheFirstOfEquals(_ engine: TestedEngine) throws {
    let inputs = OpInputs(bottoms: [[1, 5, 2, 4, 5, 3, 9, 8, 9]], topGradient: [1, 2, 3, 4])
    expect(
      try answers(pooling(.max, [3, 3], to: [2, 2], kernel: 2, stride: 1), inputs, on: engine),
      ["top": [5, 5, 9, 9], "mask": [1, 1, 6, 8], "gradient of bottom 0": [0, 3, 0, 0, 0, 0, 3, 0, 4]])
  }

  @Test(arguments: TestedEngine.allCases)
  func maximumIgnoresPadding(_ engine: TestedEngine) throws {
    let inputs = OpInputs(bottoms: [[-3, -1]], topGradient: [1, 2])
    expect(
      try answers(pooling(.max, [2], to: [2], kernel: 3, stride: 1, pad: 1), inputs, on: engine),
      ["top": [-1, -1], "mask": [1, 1], "gradient of bottom 0": [0, 3]])
  }

  @Test(arguments: TestedEngine.allCases)
  func maximumOfNaNAndInfinities(_ engine: TestedEngine) throws {
    let inputs = OpInputs(
      bottoms: [[1, .nan, .nan, 9, -.infinity, -.infinity, 7, .infinity]], topGradient: [1, 2, 3, 4])
    expect(
      try answers(pooling(.max, [8], to: [4], kernel: 2, stride: 2), inputs, on: engine),
      [
        "top": [.nan, .nan, -.infinity, .infinity], "mask": [1, 2, 4, 7],
        "gradient of bottom 0": [0, 1, 2, 0, 3, 0, 0, 4],
      ])
  }

  /// Window 2 begins where the bottom ends.
  @Test(arguments: TestedEngine.allCases)
  func emptyWindowGivesZero(_ engine: TestedEngine) throws {
    let inputs = OpInputs(bottoms: [[5, 6, 7, 8]], topGradient: [1, 2, 4])
    expect(
      try answers(pooling(.max, [4], to: [3], kernel: 1, stride: 2), inputs, on: engine),
      ["top": [5, 7, 0], "mask": [0, 2, -1], "gradient of bottom 0": [1, 0, 2, 0]])
    for excludesPadding in [false, true] {
      let operation = pooling(.average, [4], to: [3], kernel: 1, stride: 2, excludesPadding: excludesPadding)
      expect(try answers(operation, inputs, on: engine), ["top": [5, 7, 0], "gradient of bottom 0": [1, 0, 2, 0]])
    }
  }

  /// Windows of four from -1 to 3 and from 1 to 5, the second cut to three where the padded bottom ends.
  @Test(arguments: TestedEngine.allCases)
  func averageCountsPaddingAsFarAsItGoes(_ engine: TestedEngine) throws {
    let inputs = OpInputs(bottoms: [[3, 6, 9]], topGradient: [4, 3])
    expect(
      try answers(pooling(.average, [3], to: [2], kernel: 4, stride: 2, pad: 1), inputs, on: engine),
      ["top": [4.5, 5], "gradient of bottom 0": [1, 2, 2]])
    let operation = pooling(.average, [3], to: [2], kernel: 4, stride: 2, pad: 1, excludesPadding: true)
    expect(
      try answers(operation, OpInputs(bottoms: [[3, 6, 9]], topGradient: [3, 2]), on: engine),
      ["top": [6, 7.5], "gradient of bottom 0": [1, 2, 2]])
  }

  /// Rounding up makes a last window that reaches past a bottom without padding: it is cut to two.
  @Test(arguments: TestedEngine.allCases)
  func averageOfACutWindow(_ engine: TestedEngine) throws {
    let inputs = OpInputs(bottoms: [[1, 2, 3, 4]], topGradient: [3, 2])
    expect(
      try answers(pooling(.average, [4], to: [2], kernel: 3, stride: 2), inputs, on: engine),
      ["top": [2, 3.5], "gradient of bottom 0": [1, 1, 2, 1]])
  }

  @Test(arguments: TestedEngine.allCases)
  func averageOverThreeAxes(_ engine: TestedEngine) throws {
    let inputs = OpInputs(bottoms: [[1, 2, 3, 4, 5, 6, 7, 8]], topGradient: [8])
    expect(
      try answers(pooling(.average, [2, 2, 2], to: [1, 1, 1], kernel: 2, stride: 1), inputs, on: engine),
      ["top": [4.5], "gradient of bottom 0": [1, 1, 1, 1, 1, 1, 1, 1]])
  }

  @Test func fourSpatialAxesAreRefused() {
    guard
      case .pooling(let description) = pooling(.average, [1, 1, 1, 1], to: [1, 1, 1, 1], kernel: 1, stride: 1)
    else { return }
    #expect(throws: Diagnostic.self) { try ReferenceEngine().pooling(description, bottom: .plain) }
  }
}
