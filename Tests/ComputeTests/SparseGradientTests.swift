import Compute
import ComputeCPU
import ComputeReference
import Foundation
import Tensors
import Testing

/// Convolutions whose top's gradient is mostly zero, and the gradients of several tasks at once.
@Suite struct SparseGradientTests {
  /// In blocks of channels: whole ones and filled up, in groups, windows of 2 to 5, steps, padding, what no window sees.
  static let blocked: [ConvolutionDescription] = [
    describe([3, 16, 10, 9], top: [48, 8, 7], kernel: [3, 3], pad: [0, 0]),
    describe([5, 32, 7, 9], top: [64, 7, 9], kernel: [5, 5], pad: [2, 2], groups: 2),
    describe([2, 40, 9, 12], top: [52, 5, 6], kernel: [4, 4], pad: [2, 1], stride: 2),
    describe([1, 20, 8, 8], top: [34, 7, 7], kernel: [2, 2], pad: [0, 0]),
    describe([4, 18, 11, 10], top: [30, 3, 3], kernel: [3, 3], pad: [0, 0], stride: 3),
  ]

  /// Over patches: many taps and few, one position and several pieces of them, windows of 2 to 7, padding.
  static let descriptions: [ConvolutionDescription] = [
    describe([3, 8, 13, 9], top: [12, 13, 9], kernel: [5, 5], pad: [2, 2]),
    describe([2, 20, 12, 12], top: [50, 8, 8], kernel: [5, 5], pad: [0, 0]),
    describe([2, 5, 11, 12], top: [9, 7, 6], kernel: [5, 7], pad: [0, 0]),
    describe([2, 17, 4, 12], top: [7, 1, 10], kernel: [4, 3], pad: [0, 0]),
    describe([5, 33, 2, 2], top: [6, 1, 1], kernel: [2, 2], pad: [0, 0]),
    describe([2, 2, 9, 9], top: [6, 7, 7], kernel: [3, 3], pad: [0, 0]),
  ]

  private static func describe(
    _ bottom: [Int], top: [Int], kernel: [Int], pad: [Int], stride: Int = 1, groups: Int = 1
  ) -> ConvolutionDescription {
    ConvolutionDescription(
      batch: bottom[0], bottomChannels: bottom[1], topChannels: top[0], groups: groups,
      bottomExtents: Array(bottom[2...]), topExtents: Array(top[1...]), kernel: kernel, stride: [stride, stride],
      padBefore: pad, dilation: [1, 1], hasBias: true)
  }

  private func draw(_ count: Int, _ key: UInt64) -> [Float] {
    let stream = RandomStream(seed: 4, key)
    return (0..<count).map { Float(stream.uniform($0)) * 2 - 1 }
  }

  /// One in `period` is not zero, each somewhere within its period.
  private func drawSparse(_ count: Int, period: Int, _ key: UInt64) -> [Float] {
    let stream = RandomStream(seed: 9, 0)
    return zip(draw(count, key), 0...).map { value, index in
      stream.integer(index / period, below: period) == index % period ? value : 0
    }
  }

  /// The gradients of bottom, weights and bias, of each of the top's gradients.
  private func gradients(
    _ description: ConvolutionDescription, _ engine: any Engine, _ topGradients: [[Float]], atOnce: Bool = false,
    bottom values: [Float]? = nil
  ) throws -> [[Float]] {
    var description = description
    description.taskCount = topGradients.count
    let op = try engine.convolution(description)
    func memory(_ values: [Float], _ shape: Shape, _ layout: Layout) throws -> Memory {
      let memory = Memory(byteCount: layout.byteCount(for: shape))
      try engine.reorder(shape: shape, from: .plain, to: layout).run(from: values, to: memory.base)
      return memory
    }
    let bottom = try memory(
      values ?? draw(description.bottomShape.count, 1), description.bottomShape, op.bottomLayout)
    defer { withExtendedLifetime(bottom) {} }
    let weights = Parameter(shape: description.weightShape)
    let bias = Parameter(shape: [description.topChannels])
    for parameter in [weights, bias] { parameter.keepGradients(topGradients.count) }
    weights.values.update(from: draw(weights.count, 2), count: weights.count)
    let scratch = Memory(byteCount: op.scratchByteCount)
    // What is left of other ops must not matter.
    memset(scratch.base, 0xff, op.scratchByteCount)
    let tops = try topGradients.map { try memory($0, description.topShape, op.topLayout) }
    func select(_ task: Int) { for parameter in [weights, bias] { parameter.selectGradient(task) } }
    if atOnce {
      let pointers = tops.map(\.base)
      for first in stride(from: 0, to: tops.count, by: op.tasksAtOnce) {
        op.backwardParameters(
          bottom: bottom.base, topGradients: Array(pointers[first...]), count: min(op.tasksAtOnce, tops.count - first),
          weights: weights, bias: bias, scratch: scratch.base, select: { select(first + $0) })
      }
    } else {
      for (task, top) in tops.enumerated() {
        select(task)
        op.backwardParameters(
          bottom: bottom.base, topGradient: top.base, weights: weights, bias: bias, scratch: scratch.base)
      }
    }
    let back = try engine.reorder(shape: description.bottomShape, from: op.bottomLayout, to: .plain)
    return tops.enumerated().flatMap { task, top in
      let gradient = Memory(byteCount: op.bottomLayout.byteCount(for: description.bottomShape))
      memset(gradient.base, 0xff, op.bottomLayout.byteCount(for: description.bottomShape))
      op.backwardData(
        topGradient: top.base, weights: weights, bottomGradient: gradient.base, scratch: scratch.base)
      var bottomGradient = [Float](repeating: .nan, count: description.bottomShape.count)
      back.run(from: gradient.base, to: &bottomGradient)
      return [bottomGradient]
        + [weights, bias].map { Array(UnsafeBufferPointer(start: $0.gradients(of: task), count: $0.count)) }
    }
  }

  private func expectClose(_ a: [[Float]], _ b: [[Float]]) {
    for (index, (x, y)) in zip(a, b).enumerated() {
      let size = y.map(abs).max() ?? 0
      let worst = zip(x, y).map { abs($0 - $1) }.max() ?? 0
      #expect(worst <= 2e-6 * max(1, size) && x.allSatisfy(\.isFinite), "gradient \(index): off by \(worst) of \(size)")
    }
    #expect(a.count == b.count)
  }

  @Test(arguments: descriptions + blocked, [1, 2])
  func agreeWithTheReference(_ description: ConvolutionDescription, _ threads: Int) throws {
    for period in [1, 3, 4, 40] {
      let top = [drawSparse(description.topShape.count, period: period, 3)]
      expectClose(
        try gradients(description, CPUEngine(threads: threads), top),
        try gradients(description, ReferenceEngine(), top))
    }
    let none = [[Float](repeating: 0, count: description.topShape.count)]
    let found = try gradients(description, CPUEngine(threads: threads), none)
    #expect(found.allSatisfy { $0.allSatisfy { $0 == 0 } })
  }

  /// Several tasks at once have the gradients that each has alone, whether they have them in the same places or not.
  @Test(arguments: descriptions + blocked, [2, 7])
  func severalTasksAtOnce(_ description: ConvolutionDescription, _ tasks: Int) throws {
    let count = description.topShape.count
    let tops = (0..<tasks).map { drawSparse(count, period: [4, 4, 1, 9][$0 % 4], UInt64(10 + $0)) }
    let atOnce = try gradients(description, CPUEngine(threads: 2), tops, atOnce: true)
    expectClose(atOnce, try gradients(description, ReferenceEngine(), tops, atOnce: true))
    // With gradients in the same places the sums are the same ones.
    let alike = (0..<tasks).map { drawSparse(count, period: 4, UInt64(20 + $0)) }
    let engine = try CPUEngine(threads: 2)
    #expect(
      try gradients(description, engine, alike, atOnce: true) == gradients(description, engine, alike, atOnce: false))
  }

  @Test(arguments: [descriptions[1], blocked[0]])
  func manyAreTakenAtOnce(_ description: ConvolutionDescription) throws {
    var description = description
    description.taskCount = 5
    #expect(try CPUEngine(threads: 2).convolution(description).tasksAtOnce == 5)
    description.taskCount = 1
    #expect(try CPUEngine(threads: 2).convolution(description).tasksAtOnce == 1)
  }

  /// Nothing is read for a gradient of zero: that is how one sees that zeros are left out.
  @Test(arguments: [descriptions[0]] + blocked.filter { $0.batch > 1 })
  func zerosAreLeftOut(_ description: ConvolutionDescription) throws {
    // The last image has no gradient, and a bottom of which nothing is a number.
    let images = description.batch
    var top = drawSparse(description.topShape.count, period: 4, 3)
    let size = top.count / images
    for index in (top.count - size)..<top.count { top[index] = 0 }
    var bottom = draw(description.bottomShape.count, 1)
    for index in (bottom.count - bottom.count / images)..<bottom.count { bottom[index] = .nan }
    let found = try gradients(description, CPUEngine(threads: 2), [top], bottom: bottom)
    #expect(found.allSatisfy { $0.allSatisfy(\.isFinite) })
    let dense = drawSparse(description.topShape.count, period: 1, 3)
    let whole = try gradients(description, CPUEngine(threads: 2), [dense], bottom: bottom)
    #expect(whole[1].contains { $0.isNaN })
  }

  /// In bfloat, with values that are bfloats: the same sums, and a bottom gradient that is rounded once.
  @Test(.enabled(if: (try? CPUEngine(threads: 1, precision: .bfloat)) != nil)) func blobsOfHalves() throws {
    let description = Self.describe([2, 32, 20, 20], top: [64, 20, 20], kernel: [5, 5], pad: [2, 2])
    func rounded(_ values: [Float]) -> [Float] { values.map { ($0 * 64).rounded() / 64 } }
    let top = [rounded(drawSparse(description.topShape.count, period: 5, 3))]
    var bottom = rounded(draw(description.bottomShape.count, 1))
    let wanted = try gradients(description, ReferenceEngine(), top, bottom: bottom)
    let engine = try CPUEngine(threads: 2, precision: .bfloat)
    try #require(!engine.convolution(description).topLayout.holdsFloats)
    let found = try gradients(description, engine, top, bottom: bottom)
    expectClose(Array(found[1...]), Array(wanted[1...]))
    for (x, y) in zip(found[0], wanted[0]) { #expect(abs(x - y) <= 0x1p-8 * abs(y) + 1e-5) }
    // Sums of halves would not be exact, and dense kernels would read what has no gradient.
    var half = top[0]
    for index in (half.count / 2)..<half.count { half[index] = 0 }
    for index in (bottom.count / 2)..<bottom.count { bottom[index] = .nan }
    #expect(try gradients(description, engine, [half], bottom: bottom)[1].allSatisfy(\.isFinite))
  }

  /// What is no number is not zero.
  @Test(arguments: [descriptions[0], blocked[0]])
  func numbersThatAreNoneStay(_ description: ConvolutionDescription) throws {
    var top = drawSparse(description.topShape.count, period: 4, 3)
    top[20] = .nan
    let found = try gradients(description, CPUEngine(threads: 2), [top])
    #expect(found.allSatisfy { $0.contains { $0.isNaN } })
  }
}
