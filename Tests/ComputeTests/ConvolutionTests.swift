import Compute
import ComputeCases
import ComputeReference
import Diagnostics
import Tensors
import Testing

private func convolution(
  _ bottom: [Int], to top: [Int], kernel: [Int], stride: Int = 1, pad: Int = 0, dilation: Int = 1, groups: Int = 1,
  isTransposed: Bool = false
) -> OpCase.Operation {
  let axes = kernel.map { _ in 1 }
  return .convolution(
    ConvolutionDescription(
      batch: bottom[0], bottomChannels: bottom[1], topChannels: top[0], groups: groups,
      bottomExtents: Array(bottom[2...]), topExtents: Array(top[1...]), kernel: kernel,
      stride: axes.map { $0 * stride },
      padBefore: axes.map { $0 * pad }, dilation: axes.map { $0 * dilation }, hasBias: true,
      isTransposed: isTransposed))
}

@Suite struct ConvolutionTests {
  @Test(arguments: TestedEngine.allCases)
  func twoByTwoOverThreeByThree(_ engine: TestedEngine) throws {
    let inputs = OpInputs(
      bottoms: [[1, 2, 3, 4, 5, 6, 7, 8, 9]], weights: [1, 2, 3, 4], bias: [0.5], topGradient: [1, 2, 3, 4])
    expect(
      try answers(convolution([1, 1, 3, 3], to: [1, 2, 2], kernel: [2, 2]), inputs, on: engine),
      [
        "top": [37.5, 47.5, 67.5, 77.5], "gradient of bottom 0": [1, 4, 4, 6, 20, 16, 9, 24, 16],
        "gradient of weights": [37, 47, 67, 77], "gradient of bias": [10],
      ])
  }

  /// Window o sees the elements 2o - 2, 2o and 2o + 2.
  @Test(arguments: TestedEngine.allCases)
  func strideDilationAndPaddingAlongOneAxis(_ engine: TestedEngine) throws {
    let operation = convolution([1, 1, 5], to: [1, 3], kernel: [3], stride: 2, pad: 2, dilation: 2)
    let inputs = OpInputs(bottoms: [[1, 2, 3, 4, 5]], weights: [1, 10, 100], bias: [0], topGradient: [1, 2, 3])
    expect(
      try answers(operation, inputs, on: engine),
      [
        "top": [310, 531, 53], "gradient of bottom 0": [12, 0, 123, 0, 230], "gradient of weights": [11, 22, 13],
        "gradient of bias": [6],
      ])
  }

  @Test(arguments: TestedEngine.allCases)
  func groupsKeepToTheirChannels(_ engine: TestedEngine) throws {
    let inputs = OpInputs(
      bottoms: [[3, 5]], weights: [1, 2, 3, 4], bias: [0, 0, 0, 100], topGradient: [1, 10, 100, 1000])
    expect(
      try answers(convolution([1, 2, 1, 1], to: [4, 1, 1], kernel: [1, 1], groups: 2), inputs, on: engine),
      [
        "top": [3, 6, 15, 120], "gradient of bottom 0": [21, 4300], "gradient of weights": [3, 30, 500, 5000],
        "gradient of bias": [1, 10, 100, 1000],
      ])
  }

  @Test(arguments: TestedEngine.allCases)
  func threeAxes(_ engine: TestedEngine) throws {
    let inputs = OpInputs(
      bottoms: [[1, 2, 3, 4, 5, 6, 7, 8]], weights: [1, 2, 3, 4, 5, 6, 7, 8], bias: [1], topGradient: [2])
    expect(
      try answers(convolution([1, 1, 2, 2, 2], to: [1, 1, 1, 1], kernel: [2, 2, 2]), inputs, on: engine),
      [
        "top": [205], "gradient of bottom 0": [2, 4, 6, 8, 10, 12, 14, 16],
        "gradient of weights": [2, 4, 6, 8, 10, 12, 14, 16], "gradient of bias": [2],
      ])
  }

  @Test(arguments: TestedEngine.allCases)
  func deconvolutionIsTheBottomGradientOfAConvolution(_ engine: TestedEngine) throws {
    let inputs = OpInputs(
      bottoms: [[1, 2, 3, 4]], weights: [1, 2, 3, 4], bias: [0], topGradient: [1, 2, 3, 4, 5, 6, 7, 8, 9])
    let operation = convolution([1, 1, 2, 2], to: [1, 3, 3], kernel: [2, 2], isTransposed: true)
    expect(
      try answers(operation, inputs, on: engine),
      [
        "top": [1, 4, 4, 6, 20, 16, 9, 24, 16], "gradient of bottom 0": [37, 47, 67, 77],
        "gradient of weights": [37, 47, 67, 77], "gradient of bias": [45],
      ])
  }

  @Test(arguments: TestedEngine.allCases)
  func deconvolutionWithStrideTiles(_ engine: TestedEngine) throws {
    let inputs = OpInputs(
      bottoms: [[1, 2, 3, 4]], weights: [1, 2, 3, 4], bias: [1], topGradient: [Float](repeating: 1, count: 16))
    let operation = convolution([1, 1, 2, 2], to: [1, 4, 4], kernel: [2, 2], stride: 2, isTransposed: true)
    expect(
      try answers(operation, inputs, on: engine),
      [
        "top": [2, 3, 3, 5, 4, 5, 7, 9, 4, 7, 5, 9, 10, 13, 13, 17], "gradient of bottom 0": [10, 10, 10, 10],
        "gradient of weights": [10, 10, 10, 10], "gradient of bias": [16],
      ])
  }

  /// The weights of a deconvolution lie as bottom channel x top channel.
  @Test(arguments: TestedEngine.allCases)
  func deconvolutionOfChannels(_ engine: TestedEngine) throws {
    let inputs = OpInputs(
      bottoms: [[2, 3]], weights: [1, 2, 3, 4, 5, 6], bias: [0, 0, 0], topGradient: [1, 10, 100])
    let operation = convolution([1, 2, 1, 1], to: [3, 1, 1], kernel: [1, 1], isTransposed: true)
    expect(
      try answers(operation, inputs, on: engine),
      [
        "top": [14, 19, 24], "gradient of bottom 0": [321, 654],
        "gradient of weights": [2, 20, 200, 3, 30, 300], "gradient of bias": [1, 10, 100],
      ])
  }

  static let cases = OpCase.small.filter { [.convolution, .deconvolution].contains($0.kind) }

  /// Forward passes against the formula, read off element by element with sums in double precision.
  @Test(arguments: TestedEngine.allCases, cases)
  func topsFollowTheFormula(_ engine: TestedEngine, _ opCase: OpCase) throws {
    guard case .convolution(let description) = opCase.operation else { return }
    let inputs = opCase.inputs()
    let expected = formula(description, inputs)
    expect(try answers(opCase.operation, inputs, on: engine), ["top": expected], tolerance: 1e-5)
  }

  /// Every bottom element with every tap: where along each axis coarse * stride - pad + tap * dilation = fine, the
  /// product of bottom and weight goes to the top.
  private func formula(_ d: ConvolutionDescription, _ inputs: OpInputs) -> [Float] {
    let coarse = d.isTransposed ? d.bottomExtents : d.topExtents
    let fine = d.isTransposed ? d.topExtents : d.bottomExtents
    let (coarsePlane, finePlane, taps) = (coarse.reduce(1, *), fine.reduce(1, *), d.kernel.reduce(1, *))
    let coarseChannels = d.isTransposed ? d.bottomChannels : d.topChannels
    let fineChannels = d.isTransposed ? d.topChannels : d.bottomChannels
    let finePerGroup = fineChannels / d.groups
    var pairs: [(coarse: Int, fine: Int, tap: Int)] = []
    for o in 0..<coarsePlane {
      for t in 0..<taps {
        let (window, tap) = (coordinates(o, coarse), coordinates(t, d.kernel))
        let place = fine.indices.map { window[$0] * d.stride[$0] - d.padBefore[$0] + tap[$0] * d.dilation[$0] }
        guard fine.indices.allSatisfy({ place[$0] >= 0 && place[$0] < fine[$0] }) else { continue }
        pairs.append((o, fine.indices.reduce(0) { $0 * fine[$1] + place[$1] }, t))
      }
    }
    let topPlane = d.isTransposed ? finePlane : coarsePlane
    var top = (0..<d.topShape.count).map { d.hasBias ? Double(inputs.bias[$0 / topPlane % d.topChannels]) : 0 }
    for n in 0..<d.batch {
      for k in 0..<coarseChannels {
        for c in 0..<finePerGroup {
          let coarseStart = (n * coarseChannels + k) * coarsePlane
          let channel = k / (coarseChannels / d.groups) * finePerGroup + c
          let fineStart = (n * fineChannels + channel) * finePlane
          for pair in pairs {
            let weight = Double(inputs.weights[(k * finePerGroup + c) * taps + pair.tap])
            let (coarseIndex, fineIndex) = (coarseStart + pair.coarse, fineStart + pair.fine)
            let (from, to) = d.isTransposed ? (coarseIndex, fineIndex) : (fineIndex, coarseIndex)
            top[to] += weight * Double(inputs.bottoms[0][from])
          }
        }
      }
    }
    if d.hasAddend { for i in top.indices { top[i] += Double(inputs.bottoms[1][i]) } }
    return top.map { d.rectifies && $0 < 0 ? 0 : Float($0) }
  }

  static let epilogues = cases.filter { opCase in
    guard case .convolution(let description) = opCase.operation else { return false }
    return description.rectifies
  }

  /// A rectifier behind the sums, in one op with them, lets pass what is not a number, as one by itself does.
  @Test(arguments: TestedEngine.allCases, epilogues)
  func nanIsNotRectified(_ engine: TestedEngine, _ opCase: OpCase) throws {
    guard case .convolution(var description) = opCase.operation else { return }
    var inputs = opCase.inputs()
    inputs.bottoms[0][inputs.bottoms[0].count / 2] = .nan
    let rectified = try #require(try answers(.convolution(description), inputs, on: engine)["top"])
    description.rectifies = false
    let sums = try #require(try answers(.convolution(description), inputs, on: engine)["top"])
    #expect(sums.contains { $0.isNaN } && sums.contains { $0 < 0 })
    for (value, sum) in zip(rectified, sums) {
      #expect(sum.isNaN ? value.isNaN : value == max(sum, 0))
    }
  }

  /// Of element `index` in row-major order.
  private func coordinates(_ index: Int, _ extents: [Int]) -> [Int] {
    var rest = index
    return extents.reversed().map { extent in
      defer { rest /= extent }
      return rest % extent
    }.reversed()
  }

  @Test func fourSpatialAxesAreRefused() {
    let description = ConvolutionDescription(
      batch: 1, bottomChannels: 1, topChannels: 1, bottomExtents: [1, 1, 1, 1], topExtents: [1, 1, 1, 1],
      kernel: [1, 1, 1, 1], stride: [1, 1, 1, 1], padBefore: [0, 0, 0, 0], dilation: [1, 1, 1, 1], hasBias: false)
    #expect(throws: Diagnostic.self) { try ReferenceEngine().convolution(description) }
  }
}
