import Compute
import ComputeCases
import Glibc
import Tensors
import Testing

@Suite struct NormalizationTests {
  /// alpha / size is 1, so the scales are 1 + 1 + 4, 1 + 1 + 4 + 9 and 1 + 4 + 9.
  @Test(arguments: TestedEngine.allCases)
  func localResponse(_ engine: TestedEngine) throws {
    let operation = OpCase.Operation.localResponse(
      LocalResponseDescription(shape: [1, 3, 1, 1], size: 3, alpha: 3, beta: 1, k: 1))
    expect(
      try answers(operation, OpInputs(bottoms: [[1, 2, 3]], topGradient: [1, 0, 0]), on: engine),
      ["top": [1.0 / 6, 2.0 / 15, 3.0 / 14], "gradient of bottom 0": [1.0 / 9, -1.0 / 9, 0]])
  }

  /// Mean 4 and variance 5, so that with an epsilon of 4 the divisor is 3.
  @Test(arguments: TestedEngine.allCases)
  func batchNormOverBatchAndPositions(_ engine: TestedEngine) throws {
    let operation = OpCase.Operation.batchNorm(
      BatchNormDescription(shape: [2, 1, 1, 2], epsilon: 4, statistics: .batch))
    expect(
      try answers(operation, OpInputs(bottoms: [[1, 3, 5, 7]], topGradient: [9, 0, 0, 0]), on: engine),
      [
        "mean": [4], "variance": [5], "top": [-1, -1.0 / 3, 1.0 / 3, 1],
        "gradient of bottom 0": [1.5, -1, -0.5, 0],
      ])
  }

  @Test(arguments: TestedEngine.allCases)
  func batchNormKeepsChannelsApart(_ engine: TestedEngine) throws {
    let operation = OpCase.Operation.batchNorm(
      BatchNormDescription(shape: [2, 2], epsilon: 0, statistics: .batch))
    expect(
      try answers(operation, OpInputs(bottoms: [[1, 10, 3, 30]], topGradient: [0, 0, 0, 0]), on: engine),
      ["mean": [2, 20], "variance": [1, 100], "top": [-1, -1, 1, 1], "gradient of bottom 0": [0, 0, 0, 0]])
  }

  @Test(arguments: TestedEngine.allCases)
  func batchNormTakesGlobalStatisticsAsConstants(_ engine: TestedEngine) throws {
    let operation = OpCase.Operation.batchNorm(
      BatchNormDescription(shape: [2, 1, 1, 2], epsilon: 4, statistics: .given))
    let inputs = OpInputs(bottoms: [[1, 3, 5, 7]], mean: [2], variance: [12], topGradient: [4, 0, -8, 2])
    expect(
      try answers(operation, inputs, on: engine),
      [
        "mean": [2], "variance": [12], "top": [-0.25, 0.25, 0.75, 1.25], "gradient of bottom 0": [1, 0, -2, 0.5],
      ])
  }

  /// One pass over sums of squares would lose the variance to rounding.
  @Test(arguments: TestedEngine.allCases)
  func batchNormFarFromZero(_ engine: TestedEngine) throws {
    let operation = OpCase.Operation.batchNorm(
      BatchNormDescription(shape: [4, 1], epsilon: 0, statistics: .batch))
    expect(
      try answers(
        operation, OpInputs(bottoms: [[9999, 10001, 9999, 10001]], topGradient: [0, 0, 0, 0]), on: engine),
      ["mean": [10000], "variance": [1], "top": [-1, 1, -1, 1]])
  }

  /// With constants for statistics and nothing to learn, backward runs when the bottom's memory holds something else.
  @Test(
    arguments: TestedEngine.allCases, [BatchNormDescription.Statistics.given, .none])
  func batchNormOfConstantsDoesNotReadTheBottom(
    _ engine: TestedEngine, _ statistics: BatchNormDescription.Statistics
  ) throws {
    let shape: Shape = [2, 16, 3, 3]
    let op = try engine.make().batchNorm(
      BatchNormDescription(shape: shape, epsilon: 1, statistics: statistics, hasScale: true, learns: false),
      bottom: .plain)
    let scale = Parameter(shape: [16])
    scale.values.update(repeating: 6, count: 16)
    var constants = [Float](repeating: 3, count: 16)
    let bottom = [Float](repeating: .nan, count: shape.count)
    let slopes = (0..<shape.count).map { Float($0) }
    var gradient = [Float](repeating: .nan, count: shape.count)
    op.backward(
      bottom: bottom, mean: &constants, variance: &constants, scale: scale, shift: nil, topGradient: slopes,
      bottomGradient: &gradient)
    // The deviation is sqrt(3 + 1) where there is one.
    #expect(gradient == slopes.map { $0 * (statistics == .given ? 3 : 6) })
  }

  @Test(arguments: TestedEngine.allCases)
  func softmax(_ engine: TestedEngine) throws {
    let operation = OpCase.Operation.softmax(SoftmaxDescription(outer: 1, channels: 2, inner: 1))
    expect(
      try answers(operation, OpInputs(bottoms: [[0, logf(3)]], topGradient: [4, 0]), on: engine),
      ["top": [0.25, 0.75], "gradient of bottom 0": [0.75, -0.75]])
  }

  @Test(arguments: TestedEngine.allCases)
  func softmaxOverTheMiddleAxis(_ engine: TestedEngine) throws {
    let operation = OpCase.Operation.softmax(SoftmaxDescription(outer: 1, channels: 2, inner: 2))
    let inputs = OpInputs(bottoms: [[0, 5, logf(3), 5]], topGradient: [4, 1, 0, 0])
    expect(
      try answers(operation, inputs, on: engine),
      ["top": [0.25, 0.5, 0.75, 0.5], "gradient of bottom 0": [0.75, 0.25, -0.75, -0.25]])
  }

  /// Large values do not overflow, minus infinity has no share; NaN and infinity spoil their own row alone.
  @Test(arguments: TestedEngine.allCases)
  func softmaxOfExtremes(_ engine: TestedEngine) throws {
    let operation = OpCase.Operation.softmax(SoftmaxDescription(outer: 5, channels: 2, inner: 1))
    let inputs = OpInputs(
      bottoms: [[1000, 1000, -1000, -1000, 3, -.infinity, .nan, 1, 0, .infinity]],
      topGradient: [Float](repeating: 0, count: 10))
    expect(
      try answers(operation, inputs, on: engine),
      ["top": [0.5, 0.5, 0.5, 0.5, 1, 0, .nan, .nan, .nan, .nan]])
  }
}
