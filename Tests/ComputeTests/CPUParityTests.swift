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
    try compare(
      engine: CPUEngine(threads: 2, convolutions: .direct), against: ReferenceEngine(), case: opCase, offer: offer)
  }

  @Test(arguments: OpCase.small)
  func agreesOnOneThread(_ opCase: OpCase) throws {
    try compare(
      engine: CPUEngine(threads: 1, convolutions: .direct), against: ReferenceEngine(), case: opCase,
      offer: .convolution)
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
    .batchNorm(BatchNormDescription(shape: shape, epsilon: 1e-3, statistics: .batch)),
    .batchNorm(BatchNormDescription(shape: shape, epsilon: 1e-3, statistics: .given)),
    .batchNorm(
      BatchNormDescription(
        shape: shape, epsilon: 1e-3, statistics: .batch, hasScale: true, hasShift: true, rectifies: true)),
    .batchNorm(BatchNormDescription(shape: shape, epsilon: 0, statistics: .none, hasScale: true, hasShift: true)),
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

  /// Rows of windows that are done 16, 8 and 4 at a time, with rests, up to the last element of the bottom.
  static let poolings: [PoolingDescription] = [PoolingDescription.Method.max, .average].flatMap { method in
    [(1, 3, 1, 45), (2, 2, 0, 90), (2, 3, 1, 63), (2, 3, 0, 59), (3, 5, 2, 100), (4, 2, 0, 62)].map {
      stride, kernel, pad, width in
      PoolingDescription(
        method: method, batch: 1, channels: 2, bottomExtents: [7, width],
        topExtents: [(7 + 2 * pad - kernel) / stride + 1, (width + 2 * pad - kernel) / stride + 1],
        kernel: [kernel, kernel], stride: [stride, stride], pad: [pad, pad], wantsMask: method == .max)
    }
  }

  @Test(arguments: poolings)
  func longRowsOfWindowsAgree(_ pooling: PoolingDescription) throws {
    try compare(engine: CPUEngine(threads: 2), against: ReferenceEngine(), case: OpCase(.small, .pooling(pooling)))
  }

  /// Long enough for several runs and tiles, and for two threads; with rests of every kind.
  static let products: [MatrixProduct] = [(128, 70, 1100), (7, 1000, 300), (131, 65, 130), (1000, 50, 100)].flatMap {
    m, n, k in
    [(false, false), (false, true), (true, false), (true, true)].flatMap { transposeA, transposeB in
      [0, 1, 0.5].map { beta in
        MatrixProduct(m: m, n: n, k: k, transposeA: transposeA, transposeB: transposeB, beta: beta)
      }
    }
  }

  @Test(arguments: products)
  func productsAgreeWithTheReference(_ product: MatrixProduct) throws {
    let opCase = OpCase(.small, .product(product))
    try compare(engine: CPUEngine(threads: 2), against: ReferenceEngine(), case: opCase, tolerance: 1e-5)
  }

  static let winograd = OpCase.small.filter { opCase in
    if case .convolution(let d) = opCase.operation { d.kernel == [3, 3] && !d.isTransposed } else { false }
  }

  @Test(arguments: winograd)
  func agreesByWinograd(_ opCase: OpCase) throws {
    let engine = try CPUEngine(threads: 2, convolutions: .winograd)
    try compare(engine: engine, against: ReferenceEngine(), case: opCase, tolerance: 1e-3)
  }

  /// Channels that fill no block up, tiles that hang over, groups; a gradient of the weights for each thread, and (192
  /// channels) one for all.
  static let winogradSizes: [ConvolutionDescription] = [
    (20, 40, 46, 1, 29, 2), (20, 64, 64, 2, 30, 2), (9, 40, 46, 1, 23, 1), (9, 64, 64, 2, 22, 1),
    (5, 192, 192, 1, 11, 1),
  ].map { batch, bottom, top, groups, extent, step in
    let extents = [extent, extent + 1]
    return ConvolutionDescription(
      batch: batch, bottomChannels: bottom, topChannels: top, groups: groups, bottomExtents: extents,
      topExtents: extents.map { ($0 - 1) / step + 1 }, kernel: [3, 3], stride: [step, step], padBefore: [1, 1],
      dilation: [1, 1], hasBias: true)
  }

  @Test(arguments: winogradSizes, [1, 2])
  func winogradStaysNearTheFormula(_ description: ConvolutionDescription, threads: Int) throws {
    let engine = try CPUEngine(threads: threads)
    #expect(try engine.convolution(description).implementation == "winograd")
    try compare(
      engine: engine, against: ReferenceEngine(), case: OpCase(.small, .convolution(description)), tolerance: 2e-5)
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
