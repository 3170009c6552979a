import CKernels
import Compute
import Tensors

/// A 3x3 convolution of step 1 or 2 by Winograd's algorithm over blobs in blocks of 16 channels, by kernels of our own.
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
  /// For the weights' gradient: how many threads go through tiles of their own and add up a gradient of their own (one
  /// where all work on the same batch), and the floats of each.
  private let parts: Int
  private let partSize: Int

  /// Floats of a batch's transforms: with the gradient of the transformed weights they stay in the last cache.
  private static let batchSize = 2_097_152
  /// Floats of a gradient that each thread may have for itself. What one processor writes and another one reads can take
  /// three times longer, depending on where in the machine they are.
  private static let ownSize = 1_048_576

  /// Whether it can be done: windows of 3x3 with one step (Lavin and Gray, Fast algorithms for convolutional neural
  /// networks, CVPR 2016) or with two and a padding of one, groups that begin with a block of channels.
  static func canDo(_ d: ConvolutionDescription) -> Bool {
    let perGroup = [d.bottomChannels / d.groups, d.topChannels / d.groups]
    let steps =
      d.stride == [1, 1] && d.padBefore.allSatisfy { (0...2).contains($0) }
      || d.stride == [2, 2] && d.padBefore == [1, 1]
    return d.kernel == [3, 3] && steps && d.dilation == [1, 1] && !d.isTransposed
      && (d.groups == 1 || perGroup.allSatisfy { $0 % 16 == 0 })
  }

  /// Where it is faster than the formula: with few channels the transforms cost more than is saved, with few tiles the
  /// transformed weights, four times as many, are read for little. With two steps less is saved.
  static func suits(_ d: ConvolutionDescription) -> Bool {
    guard canDo(d), min(d.bottomChannels, d.topChannels) / d.groups >= 32 else { return false }
    return d.stride == [1, 1] ? tiles(d) >= 32 : fillsTiles(d)
  }

  private static func tiles(_ d: ConvolutionDescription) -> Int { d.topExtents.reduce(d.batch) { $0 * (($1 + 3) / 4) } }

  /// Whether tiles are not few and at most a quarter of them hangs over the top.
  private static func fillsTiles(_ d: ConvolutionDescription) -> Bool {
    tiles(d) >= 256 && 4 * d.topExtents.reduce(d.batch, *) >= 3 * 16 * tiles(d)
  }

  /// Where it is faster than direct kernels in bfloat, which do twice as much in a cycle.
  static func suitsHalf(_ d: ConvolutionDescription) -> Bool {
    suits(d) && d.groups == 1 && d.stride == [1, 1] && fillsTiles(d)
  }

  /// - Parameter isHalf: Whether bottom and top are in bfloat; what is computed is float all the same.
  init(_ description: ConvolutionDescription, isHalf: Bool, pool: ThreadPool) {
    self.description = description
    self.pool = pool
    implementation = "winograd" + description.epilogueName + (isHalf ? " bf16" : "")
    elementSize = isHalf ? MemoryLayout<UInt16>.stride : MemoryLayout<Float>.stride
    bottomLayout = Layout(.blocked16, description.bottomShape, isHalf: isHalf)
    topLayout = Layout(.blocked16, description.topShape, isHalf: isHalf)
    there = .allocate(capacity: 1)
    there.initialize(to: WinogradConvolution.describe(description, back: false, isHalf: isHalf))
    back = .allocate(capacity: 1)
    back.initialize(to: WinogradConvolution.describe(description, back: true, isHalf: isHalf))
    let tiles = mtl_winograd_tiles(there)
    weightsSize = mtl_winograd_weights_size(there)
    parts = weightsSize <= WinogradConvolution.ownSize && tiles >= 16 * pool.count ? pool.count : 1
    let tileSize = mtl_winograd_bottom_size(there, 64) / 64 + mtl_winograd_top_size(there, 64) / 64
    batch = min((tiles + parts - 1) / parts, max(64, WinogradConvolution.batchSize / parts / tileSize))
    partSize =
      mtl_winograd_bottom_size(there, batch) + mtl_winograd_top_size(there, batch) + description.topChannels
      + (parts > 1 ? weightsSize : 0)
    let through = max(mtl_winograd_scratch(there), description.bottomGradient ? mtl_winograd_scratch(back) : 0)
    let gathered = description.learns ? parts * partSize : 0
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
      step: d.stride[0], images: d.batch, bottom_channels: from.channels, top_channels: to.channels,
      bottom: from.extents, top: to.extents,
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
    _ epilogue: mtl_epilogue, _ to: UnsafeMutableRawPointer, _ scratch: UnsafeMutablePointer<Float>
  ) {
    pool.run(winograd.pointee.bottom_blocks, grain: 1) { first, last in
      mtl_winograd_weights(first, last, winograd, weights, scratch)
    }
    let runs = mtl_winograd_runs(winograd)
    let pieces = Int(mtl_piece_count(runs, 1, pool.count))
    let each = mtl_winograd_scratch(winograd)
    withUnsafePointer(to: epilogue) { epilogue in
      pool.run(pieces, grain: 1) { first, last in
        for piece in first..<last {
          mtl_winograd_forward(
            runs * piece / pieces, runs * (piece + 1) / pieces, winograd, from, scratch, epilogue, to,
            scratch + weightsSize + piece * each)
        }
      }
    }
  }

  func forward(
    bottom: UnsafeRawPointer, weights: Parameter, bias: Parameter?, addend: UnsafeRawPointer?,
    top: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    for group in 0..<description.groups {
      let at = offsets(group)
      convolve(
        there, bottom + at.bottom, UnsafePointer(weights.values + at.weights),
        mtl_epilogue(
          bias: bias.map { UnsafePointer($0.values + at.bias) }, addend: addend.map { $0 + at.top },
          rectifies: description.rectifies),
        top + at.top, scratch.floats)
    }
  }

  func backwardData(
    topGradient: UnsafeRawPointer, weights: Parameter, bottomGradient: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    for group in 0..<description.groups {
      let at = offsets(group)
      convolve(
        back, topGradient + at.top, UnsafePointer(weights.values + at.weights), mtl_epilogue(),
        bottomGradient + at.bottom, scratch.floats)
    }
  }

  func backwardParameters(
    bottom: UnsafeRawPointer, topGradient: UnsafeRawPointer, weights: Parameter, bias: Parameter?,
    scratch: UnsafeMutableRawPointer
  ) {
    let sums = scratch.floats + weightsSize
    for part in 0..<parts { (sums + part * partSize).update(repeating: 0, count: description.topChannels) }
    for group in 0..<description.groups {
      let at = offsets(group)
      addTiles(bottom + at.bottom, topGradient + at.top, scratch.floats, sums, at.bias)
      if weights.isLearned { finish(scratch.floats, weights.gradients + at.weights, adds: !weights.gradientIsClear) }
    }
    // All groups have written or added alike; from now on there is something to add to.
    if weights.isLearned { weights.accumulate { _, _ in } }
    bias?.add(sums, parts: parts, step: partSize)
  }

  /// From the gradient of the transformed weights to that of a group's weights.
  private func finish(_ u: UnsafePointer<Float>, _ gradients: UnsafeMutablePointer<Float>, adds: Bool) {
    pool.run(there.pointee.bottom_blocks, grain: 1) { from, to in
      mtl_winograd_finish(from, to, there, adds, u, gradients)
    }
  }

  /// The gradient of the transformed weights of one group, batch after batch of tiles; a part's memory begins with the sums
  /// for the bias.
  private func addTiles(
    _ bottom: UnsafeRawPointer, _ slopes: UnsafeRawPointer, _ u: UnsafeMutablePointer<Float>,
    _ memory: UnsafeMutablePointer<Float>, _ bias: Int
  ) {
    let tiles = mtl_winograd_tiles(there)
    if parts > 1 {
      pool.run(parts, grain: 1) { from, to in
        for part in from..<to {
          let own = memory + part * partSize
          let gradient = part == 0 ? u : own + partSize - weightsSize
          addTiles(tiles * part / parts, tiles * (part + 1) / parts, bottom, slopes, gradient, own, bias)
        }
      }
      pool.run(weightsSize, grain: 16384) { from, to in
        for part in 1..<parts {
          mtl_axpby(to - from, 1, memory + (part + 1) * partSize - weightsSize + from, 1, u + from)
        }
      }
      return
    }
    let (v, m) = transforms(memory)
    for first in stride(from: 0, to: tiles, by: batch) {
      let used = min(batch, tiles - first)
      pool.run(used, grain: 8) { from, to in mtl_winograd_gather(from, to, there, first, batch, bottom, slopes, v, m) }
      pool.run(36 * mtl_winograd_chunks(there), grain: 1) { from, to in
        mtl_winograd_add(from, to, there, batch, used, first > 0, v, m, u)
      }
      mtl_winograd_add_bias(there, batch, used, m, memory + bias)
    }
  }

  /// That of the tiles from ... to, in one thread.
  private func addTiles(
    _ from: Int, _ to: Int, _ bottom: UnsafeRawPointer, _ slopes: UnsafeRawPointer, _ u: UnsafeMutablePointer<Float>,
    _ memory: UnsafeMutablePointer<Float>, _ bias: Int
  ) {
    let (v, m) = transforms(memory)
    for first in stride(from: from, to: to, by: batch) {
      let used = min(batch, to - first)
      mtl_winograd_gather(0, used, there, first, batch, bottom, slopes, v, m)
      mtl_winograd_add(0, 36 * mtl_winograd_chunks(there), there, batch, used, first > from, v, m, u)
      mtl_winograd_add_bias(there, batch, used, m, memory + bias)
    }
  }

  /// Where a batch's transforms of bottom and top are in the memory of a part.
  private func transforms(_ memory: UnsafeMutablePointer<Float>) -> (
    UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>
  ) {
    let v = memory + description.topChannels
    return (v, v + mtl_winograd_bottom_size(there, batch))
  }
}
