import Compute
import ComputeCases
import Tensors
import Testing

@Suite struct ElementwiseTests {
  @Test(arguments: TestedEngine.allCases)
  func rectifier(_ engine: TestedEngine) throws {
    let bottom: [Float] = [-2, 0, 3, .nan, .infinity, -.infinity]
    let inputs = OpInputs(bottoms: [bottom], topGradient: [1, 2, 3, 4, 5, 6])
    expect(
      try answers(.rectifier(RectifierDescription(shape: [6])), inputs, on: engine),
      ["top": [0, 0, 3, .nan, .infinity, 0], "gradient of bottom 0": [0, 0, 3, 0, 5, 0]])
    expect(
      try answers(.rectifier(RectifierDescription(shape: [6], negativeSlope: 0.5)), inputs, on: engine),
      ["top": [-1, 0, 3, .nan, .infinity, -.infinity], "gradient of bottom 0": [0.5, 1, 3, 2, 5, 3]])
    expect(
      try answers(.rectifier(RectifierDescription(shape: [6], negativeSlope: -1)), inputs, on: engine),
      ["top": [2, 0, 3, .nan, .infinity, .infinity], "gradient of bottom 0": [-1, -2, 3, -4, 5, -6]])
  }

  @Test(arguments: TestedEngine.allCases)
  func sum(_ engine: TestedEngine) throws {
    let inputs = OpInputs(bottoms: [[1, 2], [10, 20], [100, 200]], topGradient: [0, 0])
    expect(
      try answers(.sum(SumDescription(shape: [2], coefficients: [1, -2, 0.5])), inputs, on: engine),
      ["top": [31, 62]])
  }

  @Test(arguments: TestedEngine.allCases)
  func concatAlongTheSecondAxis(_ engine: TestedEngine) throws {
    let description = ConcatDescription(bottomShapes: [[2, 1, 2], [2, 2, 2]], axis: 1)
    let inputs = OpInputs(
      bottoms: [[1, 2, 3, 4], [11, 12, 13, 14, 15, 16, 17, 18]], topGradient: (0..<12).map(Float.init))
    expect(
      try answers(.concat(description), inputs, on: engine),
      [
        "top": [1, 2, 11, 12, 13, 14, 3, 4, 15, 16, 17, 18], "gradient of bottom 0": [0, 1, 6, 7],
        "gradient of bottom 1": [2, 3, 4, 5, 8, 9, 10, 11],
      ])
  }

  @Test(arguments: TestedEngine.allCases)
  func concatAlongTheFirstAxis(_ engine: TestedEngine) throws {
    let description = ConcatDescription(bottomShapes: [[1, 2], [2, 2]], axis: 0)
    let inputs = OpInputs(bottoms: [[1, 2], [3, 4, 5, 6]], topGradient: [1, 2, 3, 4, 5, 6])
    expect(
      try answers(.concat(description), inputs, on: engine),
      ["top": [1, 2, 3, 4, 5, 6], "gradient of bottom 0": [1, 2], "gradient of bottom 1": [3, 4, 5, 6]])
  }

  @Test(arguments: TestedEngine.allCases)
  func reorderOfPlainCopies(_ engine: TestedEngine) throws {
    let from: [Float] = [1, 2, 3, 4, 5, 6]
    var to = [Float](repeating: 0, count: 6)
    try engine.make().reorder(shape: [1, 6], from: .plain, to: .plain).run(from: from, to: &to)
    #expect(to == from)
  }
}
