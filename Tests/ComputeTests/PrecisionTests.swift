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

  @Test func largeConvolutionsReadHalves() throws {
    guard case .convolution(let description) = Self.cases[1].operation else { return }
    let op = try CPUEngine(threads: 2, precision: .bfloat).convolution(description)
    #expect(op.bottomLayout.name == "nChw16c_bf16")
    #expect(op.topLayout.name == "nChw16c")
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
