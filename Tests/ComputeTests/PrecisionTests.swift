import Compute
import ComputeCPU
import ComputeCases
import ComputeReference
import Tensors
import Testing

private let processorHasHalves = (try? CPUEngine(threads: 1, precision: .bfloat)) != nil

/// bfloat keeps 8 bits of a number's digits: a relative error of 2^-9 in each factor.
@Suite(.enabled(if: processorHasHalves)) struct PrecisionTests {
  static let cases: [OpCase] = [
    ([4, 16, 14, 14], 64, 1), ([4, 32, 28, 28], 32, 5), ([2, 64, 30, 30], 96, 1), ([4, 3, 64, 64], 32, 7),
  ].map { shape, channels, kernel in
    OpCase(
      .small,
      .convolution(
        ConvolutionDescription(
          batch: shape[0], bottomChannels: shape[1], topChannels: channels, bottomExtents: [shape[2], shape[3]],
          topExtents: [shape[2], shape[3]], kernel: [kernel, kernel], stride: [1, 1],
          padBefore: [kernel / 2, kernel / 2], dilation: [1, 1], hasBias: true)))
  }

  @Test(arguments: cases)
  func convolutionsAgree(_ opCase: OpCase) throws {
    try compare(
      engine: CPUEngine(threads: 2, precision: .bfloat), against: ReferenceEngine(), case: opCase, tolerance: 1e-2)
  }

  /// Odd numbers of rows, inputs and outputs, whose last pair and vector are filled up.
  @Test(arguments: [(33, 517, 130), (2, 4100, 131), (64, 800, 500)], [false, true])
  func innerProductsAgree(_ size: (rows: Int, inputs: Int, outputs: Int), isTransposed: Bool) throws {
    let description = InnerProductDescription(
      bottomShape: [size.rows, size.inputs], rows: size.rows, inputs: size.inputs, outputs: size.outputs, hasBias: true,
      isTransposed: isTransposed)
    let engine = try CPUEngine(threads: 2, precision: .bfloat)
    #expect(try engine.innerProduct(description).implementation == "product bf16")
    try compare(
      engine: engine, against: ReferenceEngine(), case: OpCase(.small, .innerProduct(description)), tolerance: 1e-2)
  }

  /// Blobs are rounded, what is computed from them is not: far closer than bf16 kernels come.
  @Test func winogradOfHalvesAgrees() throws {
    for (channels, groups) in [(40, 1), (64, 2)] {
      let description = ConvolutionDescription(
        batch: 9, bottomChannels: channels, topChannels: 2 * channels, groups: groups, bottomExtents: [23, 24],
        topExtents: [23, 24],
        kernel: [3, 3], stride: [1, 1], padBefore: [1, 1], dilation: [1, 1], hasBias: true)
      let opCase = OpCase(.small, .convolution(description))
      var inputs = opCase.inputs()
      inputs.bottoms = inputs.bottoms.map { $0.map(Self.rounded) }
      inputs.topGradient = inputs.topGradient.map(Self.rounded)
      let engine = try CPUEngine(threads: 2, precision: .bfloat)
      let isWinograd = try engine.convolution(description).implementation == "winograd bf16"
      #expect(isWinograd == (groups == 1))
      if isWinograd {
        try compare(
          engine: engine, against: ReferenceEngine(), case: opCase, inputs: inputs, tolerance: 0x1.1p-8)
      }
    }
  }

  @Test func largeConvolutionsReadHalves() throws {
    guard case .convolution(let description) = Self.cases[1].operation else { return }
    let op = try CPUEngine(threads: 2, precision: .bfloat).convolution(description)
    #expect(op.bottomLayout.name == "nChw16c_bf16")
    #expect(op.topLayout.name == "nChw16c_bf16")
  }

  /// An odd number of vectors.
  static let oddRectifiers: [OpCase.Operation] = [0, 0.25].map {
    .rectifier(RectifierDescription(shape: [3, 48, 35, 35], negativeSlope: $0))
  }

  /// Ops behind a convolution in bfloat, with a channel count that fills no block up and one that does.
  static let between: [OpCase.Operation] =
    oddRectifiers
    + [64, 44].flatMap { channels -> [OpCase.Operation] in
      let shape: Shape = [4, channels, 17, 15]
      func pooling(_ method: PoolingDescription.Method, _ kernel: Int, stride: Int, mask: Bool = false)
        -> OpCase.Operation
      {
        .pooling(
          PoolingDescription(
            method: method, batch: 4, channels: channels, bottomExtents: [17, 15],
            topExtents: [17, 15].map { ($0 + 2 - kernel) / stride + 1 }, kernel: [kernel, kernel],
            stride: [stride, stride], pad: [1, 1], wantsMask: mask))
      }
      func norm(_ statistics: BatchNormDescription.Statistics, rectifies: Bool) -> OpCase.Operation {
        .batchNorm(
          BatchNormDescription(
            shape: shape, epsilon: 1e-3, statistics: statistics, hasScale: rectifies, hasShift: rectifies,
            rectifies: rectifies))
      }
      return [
        .rectifier(RectifierDescription(shape: shape)),
        .rectifier(RectifierDescription(shape: shape, negativeSlope: 0.25)),
        pooling(.max, 3, stride: 2, mask: true), pooling(.max, 2, stride: 2), pooling(.average, 3, stride: 1),
        .localResponse(LocalResponseDescription(shape: shape, size: 5, alpha: 1, beta: 0.75, k: 1)),
        norm(.batch, rectifies: false), norm(.batch, rectifies: true), norm(.given, rectifies: false),
        .sum(SumDescription(shape: shape, coefficients: [1, -2])),
        .sum(SumDescription(shape: shape, coefficients: [1, 1, 0.5], rectifies: true)),
        .concat(ConcatDescription(bottomShapes: [[4, 64, 17, 15], shape], axis: 1)),
      ]
    }

  /// On inputs that have no more digits, so that all but the results' last rounding is float.
  @Test(arguments: between)
  func opsBetweenConvolutionsAgree(_ operation: OpCase.Operation) throws {
    let opCase = OpCase(.small, operation)
    let engine = try CPUEngine(threads: 2, precision: .bfloat)
    var inputs = opCase.inputs()
    inputs.bottoms = inputs.bottoms.map { $0.map(Self.rounded) }
    inputs.topGradient = inputs.topGradient.map(Self.rounded)
    let implementation = try OpRun(opCase, on: engine, offer: .convolution).implementation
    #expect(implementation.contains("bf16") || implementation == "copy")
    try compare(
      engine: engine, against: ReferenceEngine(), case: opCase, offer: .convolution, inputs: inputs,
      tolerance: 0x1.1p-8)
  }

  private static func rounded(_ value: Float) -> Float { Float(bitPattern: value.bitPattern & 0xffff_0000) }

  @Test func aRectifierOfHalvesPassesNaNOn() throws {
    let shape: Shape = [4, 64, 17, 15]
    let operation = OpCase.Operation.rectifier(RectifierDescription(shape: shape))
    let opCase = OpCase(.small, operation)
    let run = try OpRun(opCase, on: CPUEngine(threads: 2, precision: .bfloat), offer: .convolution)
    var inputs = opCase.inputs()
    inputs.bottoms[0][7] = .nan
    inputs.bottoms[0][8] = -.nan
    inputs.bottoms[0][9] = -.infinity
    run.load(inputs)
    run.run(.forward)
    let top = run.results(of: .forward)[0].values
    #expect(top[7].isNaN && top[8].isNaN && top[9] == 0)
  }

  /// Gradients of several readers: added as floats, rounded to the nearest.
  @Test func halvesAreAddedUp() throws {
    guard case .convolution(let description) = Self.cases[1].operation else { return }
    let engine = try CPUEngine(threads: 2, precision: .bfloat)
    let layout = try engine.convolution(description).bottomLayout
    let shape = description.bottomShape
    let terms: [[Float]] = [0, 1, 2].map { term in
      (0..<shape.count).map { 2 * RandomStream(seed: 6, UInt64(term)).uniform($0) - 1 }
    }
    let into = try engine.reorder(shape: shape, from: .plain, to: layout)
    let back = try engine.reorder(shape: shape, from: layout, to: .plain)
    let memories = (0..<4).map { _ in Memory(byteCount: layout.byteCount(for: shape)) }
    for (term, memory) in zip(terms, memories) {
      term.withUnsafeBytes { into.run(from: $0.baseAddress!, to: memory.base) }
    }
    let sum = try engine.sum(SumDescription(shape: shape, coefficients: [1, 1, 1]), bottom: layout)
    memories.map(\.base).withUnsafeBufferPointer { sum.forward(bottoms: $0.baseAddress!, top: memories[3].base) }
    let plain = Memory(byteCount: shape.count * MemoryLayout<Float>.stride)
    back.run(from: memories[3].base, to: plain.base)
    let sums = withExtendedLifetime((memories, plain)) {
      Array(UnsafeBufferPointer(start: plain.base.assumingMemoryBound(to: Float.self), count: shape.count))
    }
    for i in 0..<shape.count {
      let expected = terms[0][i] + terms[1][i] + terms[2][i]
      // Each term is rounded, and their sum, which is at most 3.
      let isNear = abs(sums[i] - expected) <= 3 * 0x1p-9 + 0x1p-7
      #expect(isNear, "element \(i): \(sums[i]), not \(expected)")
      if !isNear { break }
    }
  }
}
