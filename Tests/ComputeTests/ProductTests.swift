import Compute
import ComputeCases
import Tensors
import Testing

@Suite struct ProductTests {
  @Test(arguments: TestedEngine.allCases, [false, true])
  func innerProduct(_ engine: TestedEngine, isTransposed: Bool) throws {
    let operation = OpCase.Operation.innerProduct(
      InnerProductDescription(
        bottomShape: [2, 3], rows: 2, inputs: 3, outputs: 2, hasBias: true, isTransposed: isTransposed))
    let inputs = OpInputs(
      bottoms: [[1, 2, 3, 4, 5, 6]], weights: isTransposed ? [1, 2, 0, 1, -1, 0] : [1, 0, -1, 2, 1, 0],
      bias: [10, 20], topGradient: [1, 2, 3, 4])
    expect(
      try answers(operation, inputs, on: engine),
      [
        "top": [8, 24, 8, 33], "gradient of bottom 0": [5, 2, -1, 11, 4, -3],
        "gradient of weights": isTransposed ? [13, 18, 17, 24, 21, 30] : [13, 17, 21, 18, 24, 30],
        "gradient of bias": [4, 6],
      ])
  }

  @Test(arguments: TestedEngine.allCases, [(false, false), (false, true), (true, false), (true, true)])
  func matrices(_ engine: TestedEngine, _ transposes: (a: Bool, b: Bool)) throws {
    let a: [Float] = transposes.a ? [1, 4, 2, 5, 3, 6] : [1, 2, 3, 4, 5, 6]
    let b: [Float] = transposes.b ? [7, 9, 11, 8, 10, 12] : [7, 8, 9, 10, 11, 12]
    var product = MatrixProduct(m: 2, n: 2, k: 3, transposeA: transposes.a, transposeB: transposes.b)
    expect(
      try answers(.product(product), OpInputs(bottoms: [a, b], topGradient: [0, 0, 0, 0]), on: engine),
      ["top": [58, 64, 139, 154]])
    product.alpha = 2
    product.beta = 0.5
    let inputs = OpInputs(bottoms: [a, b], initialTop: [2, 4, 6, 8], topGradient: [0, 0, 0, 0])
    expect(try answers(.product(product), inputs, on: engine), ["top": [117, 130, 281, 312]])
  }

  static let products = OpCase.small.filter { $0.kind == .product }

  /// Sizes with and without a rest in every blocking, all transposes; sums made here in double precision.
  @Test(arguments: TestedEngine.allCases, products)
  func threeNestedLoopsGiveTheSame(_ engine: TestedEngine, _ opCase: OpCase) throws {
    guard case .product(let product) = opCase.operation else { return }
    let inputs = opCase.inputs()
    let (a, b) = (inputs.bottoms[0], inputs.bottoms[1])
    var expected = inputs.initialTop
    for i in 0..<product.m {
      for j in 0..<product.n {
        var total = 0.0
        for k in 0..<product.k {
          let left = product.transposeA ? a[k * product.m + i] : a[i * product.k + k]
          let right = product.transposeB ? b[j * product.k + k] : b[k * product.n + j]
          total += Double(left) * Double(right)
        }
        let kept = product.beta * expected[i * product.n + j]
        expected[i * product.n + j] = product.alpha * Float(total) + kept
      }
    }
    expect(try answers(opCase.operation, inputs, on: engine), ["top": expected], tolerance: 1e-5)
  }

  @Test(arguments: TestedEngine.allCases)
  func nothingToAddUp(_ engine: TestedEngine) throws {
    let one: [Float] = [1]
    var c: [Float] = [3, .nan]
    try engine.make().multiply(MatrixProduct(m: 1, n: 1, k: 0, beta: 2), one, one, &c)
    #expect(c[0] == 6)
    try engine.make().multiply(MatrixProduct(m: 2, n: 1, k: 0), one, one, &c)
    #expect(c == [0, 0])
  }
}
