import Compute
import ComputeCPU
import ComputeCases
import ComputeReference
import Tensors
import Testing

/// The CPU engine against the reference.
@Suite struct CPUParityTests {
  @Test(arguments: OpCase.small, OpRun.Offer.allCases)
  func agreesWithTheReference(_ opCase: OpCase, _ offer: OpRun.Offer) throws {
    try compare(engine: CPUEngine(threads: 2), against: ReferenceEngine(), case: opCase, offer: offer)
  }

  @Test(arguments: OpCase.small)
  func agreesOnOneThread(_ opCase: OpCase) throws {
    try compare(engine: CPUEngine(threads: 1), against: ReferenceEngine(), case: opCase, offer: .convolution)
  }

  /// 30 channels: in blocks of 8 or 16 the last one is filled up.
  static let filledUp: [OpCase.Operation] = [
    .convolution(
      ConvolutionDescription(
        batch: 2, bottomChannels: 30, topChannels: 46, bottomExtents: [9, 7], topExtents: [9, 7], kernel: [3, 3],
        stride: [1, 1], padBefore: [1, 1], dilation: [1, 1], hasBias: true)),
    .pooling(pooling(.max, wantsMask: true)), .pooling(pooling(.average, wantsMask: false)),
    .rectifier(RectifierDescription(shape: shape, negativeSlope: 0.1)),
    .localResponse(LocalResponseDescription(shape: shape, size: 5, alpha: 1, beta: 0.75, k: 1)),
    .localResponse(LocalResponseDescription(shape: shape, size: 4, alpha: 1, beta: 0.6, k: 2)),
    .batchNorm(BatchNormDescription(shape: shape, epsilon: 1e-3, usesGlobalStatistics: false)),
    .batchNorm(BatchNormDescription(shape: shape, epsilon: 1e-3, usesGlobalStatistics: true)),
    .sum(SumDescription(shape: shape, coefficients: [1, -2])),
    .concat(ConcatDescription(bottomShapes: [[2, 32, 9, 7], [2, 30, 9, 7]], axis: 1)),
    .concat(ConcatDescription(bottomShapes: [[2, 30, 9, 7], [2, 32, 9, 7]], axis: 1)),
  ]
  private static let shape: Shape = [2, 30, 9, 7]

  private static func pooling(_ method: PoolingDescription.Method, wantsMask: Bool) -> PoolingDescription {
    PoolingDescription(
      method: method, batch: 2, channels: 30, bottomExtents: [9, 7], topExtents: [5, 4], kernel: [3, 3],
      stride: [2, 2], pad: [1, 1], wantsMask: wantsMask)
  }

  @Test(arguments: filledUp)
  func agreesWhereBlocksAreFilledUp(_ operation: OpCase.Operation) throws {
    let opCase = OpCase(.small, operation)
    try compare(engine: CPUEngine(threads: 2), against: ReferenceEngine(), case: opCase, offer: .convolution)
  }

  static let winograd = OpCase.small.filter { opCase in
    if case .convolution(let d) = opCase.operation { d.kernel == [3, 3] && !d.isTransposed } else { false }
  }

  @Test(arguments: winograd)
  func agreesByWinograd(_ opCase: OpCase) throws {
    let engine = try CPUEngine(threads: 2, convolutions: .winograd)
    try compare(engine: engine, against: ReferenceEngine(), case: opCase, tolerance: 1e-3)
  }

  @Test(arguments: OpCase.small, [ConvolutionPolicy.direct, .winograd])
  func twoRunsAreEqualBitForBit(_ opCase: OpCase, _ policy: ConvolutionPolicy) throws {
    func results() throws -> [[UInt32]] {
      let run = try OpRun(opCase, on: CPUEngine(threads: 2, convolutions: policy), offer: .convolution)
      run.load(opCase.inputs())
      return run.passes.flatMap { pass in
        run.run(pass)
        return run.results(of: pass).map { $0.values.map(\.bitPattern) }
      }
    }
    #expect(try results() == results())
  }
}
