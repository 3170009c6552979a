import CKernels
import Compute
import Tensors

/// A 3x3 convolution of step 1 by Winograd's algorithm over blobs in blocks of 16 channels, by kernels of our own.
///
/// oneDNN 2.x has the algorithm too, at 400 to 540 effective GFLOP/s where these reach more, without groups and with
/// scratch memory of several times the blobs; 3.x has it no more.
final class WinogradConvolution: ConvolutionOp {
  let bottomLayout: Layout
  let topLayout: Layout
  let scratchByteCount: Int
  let implementation: String
  private let description: ConvolutionDescription
  private let pool: ThreadPool
  /// Bytes of an element of bottom and top.
  private let elementSize: Int
  /// Of one group: forward, and back from the top's gradient to the bottom's.
  private let there: UnsafeMutablePointer<mtl_winograd>
  private let back: UnsafeMutablePointer<mtl_winograd>
  /// The tiles whose transforms are kept at once for the weights' gradient.
  private let batch: Int
  /// Where in the scratch memory, in floats, threads begin behind the transformed weights.
  private let weightsSize: Int

  /// Floats of a batch's transforms: with the gradient of the transformed weights they stay in the last cache.
  private static let batchSize = 2_097_152

  /// Whether it can be done: windows of 3x3 with one step (Lavin and Gray, Fast algorithms for convolutional neural
  /// networks, CVPR 2016), groups that begin with a block of channels.
  static func canDo(_ d: ConvolutionDescription) -> Bool {
    let perGroup = [d.bottomChannels / d.groups, d.topChannels / d.groups]
    return d.kernel == [3, 3] && d.stride == [1, 1] && d.dilation == [1, 1] && !d.isTransposed
      && (d.groups == 1 || perGroup.allSatisfy { $0 % 16 == 0 })
      && d.kernel.indices.allSatisfy { (0...2).contains(d.padBefore[$0]) }
  }

  /// Where it is faster than the formula: with few channels the transforms cost more than is saved, with few tiles the
  /// transformed weights, four times as many, are read for little.
  static func suits(_ d: ConvolutionDescription) -> Bool {
    guard canDo(d) else { return false }
    let tiles = d.topExtents.reduce(d.batch) { $0 * (($1 + 3) / 4) }
    return min(d.bottomChannels, d.topChannels) / d.groups >= 32 && tiles >= 32
  }

  /// Where it is faster than direct kernels in bfloat, which do twice as much in a cycle: where little of the tiles hangs
  /// over the top, in one group, and tiles are not few.
  static func suitsHalf(_ d: ConvolutionDescription) -> Bool {
    guard suits(d), d.groups == 1 else { return false }
    let tiles = d.topExtents.reduce(d.batch) { $0 * (($1 + 3) / 4) }
    return tiles >= 256 && 4 * d.topExtents.reduce(d.batch, *) >= 3 * 16 * tiles
  }

  /// - Parameter isHalf: Whether bottom and top are in bfloat; what is computed is float all the same.
  init(_ description: ConvolutionDescription, isHalf: Bool, pool: ThreadPool) {
    self.description = description
    self.pool = pool
    implementation = isHalf ? "winograd bf16" : "winograd"
    elementSize = isHalf ? MemoryLayout<UInt16>.stride : MemoryLayout<Float>.stride
    bottomLayout = Layout(.blocked16, description.bottomShape, isHalf: isHalf)
    topLayout = Layout(.blocked16, description.topShape, isHalf: isHalf)
    there = .allocate(capacity: 1)
    there.initialize(to: WinogradConvolution.describe(description, back: false, isHalf: isHalf))
    back = .allocate(capacity: 1)
    back.initialize(to: WinogradConvolution.describe(description, back: true, isHalf: isHalf))
    let blocks = there.pointee.bottom_blocks + there.pointee.top_blocks
    batch = min(mtl_winograd_tiles(there), max(64, WinogradConvolution.batchSize / (36 * 16 * blocks)))
    weightsSize = mtl_winograd_weights_size(there)
    let through = max(mtl_winograd_scratch(there), description.bottomGradient ? mtl_winograd_scratch(back) : 0)
    let gathered =
      description.learns
      ? mtl_winograd_bottom_size(there, batch) + mtl_winograd_top_size(there, batch) + description.topChannels : 0
    scratchByteCount = (weightsSize + max(pool.count * through, gathered)) * MemoryLayout<Float>.stride
  }

  deinit {
    there.deallocate()
    back.deallocate()
  }

  private static func describe(_ d: ConvolutionDescription, back: Bool, isHalf: Bool) -> mtl_winograd {
    func side(_ channels: Int, _ extents: [Int]) -> (channels: Int, blocks: Int, extents: (Int, Int), stride: Int) {
      let blocks = (channels / d.groups + 15) / 16
      return (channels / d.groups, blocks, (extents[0], extents[1]), blocks * d.groups * 16 * extents[0] * extents[1])
    }
    let (bottom, top) = (side(d.bottomChannels, d.bottomExtents), side(d.topChannels, d.topExtents))
    let (from, to) = back ? (top, bottom) : (bottom, top)
    let steps = (from: 9, to: 9 * bottom.channels)
    let pad = d.padBefore.map { back ? 2 - $0 : $0 }
    return mtl_winograd(
      images: d.batch, bottom_channels: from.channels, top_channels: to.channels, bottom: from.extents, top: to.extents,
      pad: (pad[0], pad[1]), bottom_blocks: from.blocks, top_blocks: to.blocks, bottom_stride: from.stride,
      top_stride: to.stride, bottom_step: back ? steps.to : steps.from, top_step: back ? steps.from : steps.to,
      is_turned: back, is_half: isHalf)
  }

  /// Where a group's channels begin, in bytes, and its weights and biases, in floats.
  private func offsets(_ group: Int) -> (bottom: Int, top: Int, weights: Int, bias: Int) {
    let (d, w) = (description, there.pointee)
    return (
      group * w.bottom_blocks * 16 * d.bottomExtents[0] * d.bottomExtents[1] * elementSize,
      group * w.top_blocks * 16 * d.topExtents[0] * d.topExtents[1] * elementSize,
      group * w.bottom_channels * w.top_channels * 9, group * w.top_channels
    )
  }

  /// Both directions of images.
  private func convolve(
    _ winograd: UnsafePointer<mtl_winograd>, _ from: UnsafeRawPointer, _ weights: UnsafePointer<Float>,
    _ bias: UnsafePointer<Float>?, _ to: UnsafeMutableRawPointer, _ scratch: UnsafeMutablePointer<Float>
  ) {
    pool.run(winograd.pointee.bottom_blocks, grain: 1) { first, last in
      mtl_winograd_weights(first, last, winograd, weights, scratch)
    }
    let runs = mtl_winograd_runs(winograd)
    let pieces = Int(mtl_piece_count(runs, 1, pool.count))
    let each = mtl_winograd_scratch(winograd)
    pool.run(pieces, grain: 1) { first, last in
      for piece in first..<last {
        mtl_winograd_forward(
          runs * piece / pieces, runs * (piece + 1) / pieces, winograd, from, scratch, bias, to,
          scratch + weightsSize + piece * each)
      }
    }
  }

  func forward(
    bottom: UnsafeRawPointer, weights: Parameter, bias: Parameter?, top: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    for group in 0..<description.groups {
      let at = offsets(group)
      convolve(
        there, bottom + at.bottom, UnsafePointer(weights.values + at.weights),
        bias.map { UnsafePointer($0.values + at.bias) }, top + at.top, scratch.floats)
    }
  }

  func backwardData(
    topGradient: UnsafeRawPointer, weights: Parameter, bottomGradient: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    for group in 0..<description.groups {
      let at = offsets(group)
      convolve(
        back, topGradient + at.top, UnsafePointer(weights.values + at.weights), nil,
        bottomGradient + at.bottom, scratch.floats)
    }
  }

  func backwardParameters(
    bottom: UnsafeRawPointer, topGradient: UnsafeRawPointer, weights: Parameter, bias: Parameter?,
    scratch: UnsafeMutableRawPointer
  ) {
    let v = scratch.floats + weightsSize
    let m = v + mtl_winograd_bottom_size(there, batch)
    let sums = m + mtl_winograd_top_size(there, batch)
    sums.update(repeating: 0, count: description.topChannels)
    for group in 0..<description.groups {
      let at = offsets(group)
      addBatches(bottom + at.bottom, topGradient + at.top, scratch.floats, v, m, sums + at.bias)
      if weights.isLearned { finish(scratch.floats, weights.gradients + at.weights, adds: !weights.gradientIsClear) }
    }
    // All groups have written or added alike; from now on there is something to add to.
    if weights.isLearned { weights.accumulate { _, _ in } }
    guard let bias, bias.isLearned else { return }
    bias.accumulate { gradients, overwrite in
      mtl_axpby(description.topChannels, 1, sums, overwrite ? 0 : 1, gradients)
    }
  }

  /// From the gradient of the transformed weights to that of a group's weights.
  private func finish(_ u: UnsafePointer<Float>, _ gradients: UnsafeMutablePointer<Float>, adds: Bool) {
    pool.run(there.pointee.bottom_blocks, grain: 1) { from, to in
      mtl_winograd_finish(from, to, there, adds, u, gradients)
    }
  }

  /// The gradient of the transformed weights of one group, batch after batch of tiles.
  private func addBatches(
    _ bottom: UnsafeRawPointer, _ slopes: UnsafeRawPointer, _ u: UnsafeMutablePointer<Float>,
    _ v: UnsafeMutablePointer<Float>, _ m: UnsafeMutablePointer<Float>, _ sums: UnsafeMutablePointer<Float>
  ) {
    let tiles = mtl_winograd_tiles(there)
    for first in stride(from: 0, to: tiles, by: batch) {
      let used = min(batch, tiles - first)
      pool.run(used, grain: 8) { from, to in mtl_winograd_gather(from, to, there, first, batch, bottom, slopes, v, m) }
      pool.run(36 * mtl_winograd_chunks(there), grain: 1) { from, to in
        mtl_winograd_add(from, to, there, batch, used, first > 0, v, m, u)
      }
      mtl_winograd_add_bias(there, batch, used, m, sums)
    }
  }
}
