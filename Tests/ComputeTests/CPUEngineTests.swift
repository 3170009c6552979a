import Compute
import ComputeCPU
import ComputeCases
import ComputeReference
import Diagnostics
import Foundation
import Tensors
import Testing

/// What the CPU engine promises beyond the contract of all engines.
@Suite struct CPUEngineTests {
  @Test(arguments: [0, -1, 100_000])
  func impossibleThreadCountsAreRefused(_ threads: Int) {
    #expect {
      try CPUEngine(threads: threads)
    } throws: { error in
      (error as? Diagnostic)?.code == .badArgument
    }
  }

  /// Layouts that are the same in memory are equal: no reorder is planned between them.
  @Test func oneElementAChannelIsPlain() throws {
    let engine = try CPUEngine(threads: 1)
    let description = PoolingDescription(
      method: .average, batch: 2, channels: 32, bottomExtents: [7, 7], topExtents: [1, 1], kernel: [7, 7],
      stride: [1, 1], pad: [0, 0])
    let pooling = try engine.pooling(description, bottom: convolution(engine, channels: 32, extent: 7).topLayout)
    #expect(!pooling.bottomLayout.isPlain)
    #expect(pooling.topLayout.isPlain)
  }

  /// What fills up a block is zero after every op, whatever was in its memory before. Processors without AVX have no
  /// blocks.
  @Test func fillingStaysZero() throws {
    let engine = try CPUEngine(threads: 2)
    let shape: Shape = [2, 30, 6, 6]
    let convolution = try convolution(engine, channels: 30, extent: 6)
    let layout = convolution.topLayout
    let byteCount = layout.byteCount(for: shape)
    guard byteCount > shape.count * MemoryLayout<Float>.stride else { return }
    let (bottom, top, plain) = (
      Memory(byteCount: byteCount), Memory(byteCount: byteCount), Memory(byteCount: byteCount)
    )
    for i in 0..<shape.count { plain.base.assumingMemoryBound(to: Float.self)[i] = Float(i % 7) + 1 }
    bottom.base.initializeMemory(as: UInt8.self, repeating: 0xff, count: byteCount)
    try engine.reorder(shape: shape, from: .plain, to: layout).run(from: plain.base, to: bottom.base)
    try expectZeroFilling(bottom, shape, layout, engine, "reorder")

    let scratch = Memory(byteCount: 1 << 20)
    let statistics = Memory(byteCount: 1024)
    let mean = statistics.base.assumingMemoryBound(to: Float.self)
    let weights = Parameter(shape: [30, 30, 3, 3])
    let bias = Parameter(shape: [30])
    for i in 0..<30 { bias.values[i] = 3 }
    let rectifier = try engine.rectifier(RectifierDescription(shape: shape, negativeSlope: 0.5), layout: layout)
    let pooling = try engine.pooling(
      PoolingDescription(
        method: .max, batch: 2, channels: 30, bottomExtents: [6, 6], topExtents: [6, 6], kernel: [3, 3],
        stride: [1, 1], pad: [1, 1]), bottom: layout)
    let response = try engine.localResponse(
      LocalResponseDescription(shape: shape, size: 3, alpha: 1, beta: 0.75, k: 1), bottom: layout)
    let norm = try engine.batchNorm(
      BatchNormDescription(shape: shape, epsilon: 1e-3, statistics: .batch), bottom: layout)
    let runs: [(String, () -> Void)] = [
      (
        "convolution",
        {
          convolution.forward(
            bottom: bottom.base, weights: weights, bias: bias, addend: nil, top: top.base, scratch: scratch.base)
        }
      ),
      ("rectifier", { rectifier.forward(bottom: bottom.base, top: top.base) }),
      (
        "pooling",
        { pooling.forward(bottom: bottom.base, top: top.base, mask: nil, workspace: scratch.base, scratch: plain.base) }
      ),
      (
        "local response",
        { response.forward(bottom: bottom.base, top: top.base, workspace: scratch.base, scratch: scratch.base) }
      ),
      (
        "batch norm",
        {
          norm.forward(
            bottom: bottom.base, mean: mean, variance: mean + 64, scale: nil, shift: nil, top: top.base)
        }
      ),
    ]
    for (name, run) in runs {
      top.base.initializeMemory(as: UInt8.self, repeating: 0xff, count: byteCount)
      run()
      try expectZeroFilling(top, shape, layout, engine, name)
    }
  }

  /// The sum of all that lies in memory is the sum of the blob's elements.
  private func expectZeroFilling(
    _ memory: Memory, _ shape: Shape, _ layout: Layout, _ engine: CPUEngine, _ name: String
  ) throws {
    let plain = Memory(byteCount: shape.count * MemoryLayout<Float>.stride)
    try engine.reorder(shape: shape, from: layout, to: .plain).run(from: memory.base, to: plain.base)
    let count = layout.byteCount(for: shape) / MemoryLayout<Float>.stride
    let nonzero = { (memory: Memory, count: Int) in
      (0..<count).filter { memory.base.assumingMemoryBound(to: Float.self)[$0] != 0 }.count
    }
    #expect(nonzero(memory, count) == nonzero(plain, shape.count), "\(name)")
  }

  /// Packed weights follow the parameter: its version, and another parameter with the same one.
  @Test func changedWeightsArePackedAgain() throws {
    let engine = try CPUEngine(threads: 1)
    let shape: Shape = [1, 16, 4, 4]
    let convolution = try convolution(engine, channels: 16, extent: 4)
    let (bottom, top) = (Memory(byteCount: shape.count * 4), Memory(byteCount: shape.count * 4))
    let scratch = Memory(byteCount: convolution.scratchByteCount)
    for i in 0..<shape.count { bottom.base.assumingMemoryBound(to: Float.self)[i] = 1 }
    /// With all weights alike every element of the middle is the sum over its window.
    func middle(_ weights: Parameter) -> Float {
      convolution.forward(
        bottom: bottom.base, weights: weights, bias: nil, addend: nil, top: top.base, scratch: scratch.base)
      return top.base.assumingMemoryBound(to: Float.self)[5 * 16]
    }
    func fill(_ weights: Parameter, _ value: Float) {
      weights.values.update(repeating: value, count: weights.count)
      weights.touch()
    }
    let (first, second) = (Parameter(shape: [16, 16, 3, 3]), Parameter(shape: [16, 16, 3, 3]))
    fill(first, 1)
    fill(second, 2)
    #expect(middle(first) == 144)
    #expect(middle(second) == 288)
    #expect(middle(first) == 144)
    fill(first, 3)
    #expect(middle(first) == 432)
  }

  /// 3x3, one step, with a frame of zeros; batch 2, or 1 where the blob has few elements.
  private func convolution(_ engine: CPUEngine, channels: Int, extent: Int) throws -> any ConvolutionOp {
    try engine.convolution(
      ConvolutionDescription(
        batch: extent == 4 ? 1 : 2, bottomChannels: channels, topChannels: channels, bottomExtents: [extent, extent],
        topExtents: [extent, extent], kernel: [3, 3], stride: [1, 1], padBefore: [1, 1], dilation: [1, 1],
        hasBias: extent != 4))
  }
}
