import CKernels
import Compute
import Tensors

/// A convolution of few channels as a product of the weights and the patches that its windows see, over plain blobs.
///
/// oneDNN's kernels work in blocks of 16 channels: with 20 and 50 channels half of their work is for the zeros that fill
/// blocks up. These vectors lie along the positions (and the taps, for the gradient of the weights) instead.
final class PatchConvolution: ConvolutionOp {
  let bottomLayout = Layout.plain
  let topLayout = Layout.plain
  let scratchByteCount: Int
  let implementation: String
  let tasksAtOnce: Int
  private let description: ConvolutionDescription
  private let patches: UnsafeMutablePointer<mtl_patches>
  private let pool: ThreadPool
  /// Floats of a thread's scratch memory: of the kernel, then a gradient of the weights and one of the bias.
  private let kernelScratch: Int
  private let threadScratch: Int
  /// Floats of a row of a thread's gradient of the weights.
  private let row: Int
  /// Asked for in each pass, and it takes allocations to find out.
  private let multiplyAdds: Int

  /// Multiplications with addition that are worth a thread.
  private static let grain = 262_144
  /// Floats of a thread's gradients of the weights, of all tasks that are taken at once: they stay in the second cache.
  private static let gradientSize = 262_144

  /// Whether it is faster than oneDNN's kernels for blocks of channels: where more than a quarter of their work is for
  /// channels that fill blocks up. For images of up to three channels oneDNN has kernels that fill no bottom up; there the
  /// top's blocks alone count.
  static func suits(_ d: ConvolutionDescription) -> Bool {
    func blocked(_ channels: Int) -> Int { (channels + 15) / 16 * 16 }
    let bottoms = d.bottomChannels < 4 ? d.bottomChannels : blocked(d.bottomChannels)
    return canDo(d) && (6...256).contains(d.topChannels)
      && 4 * d.bottomChannels * d.topChannels < 3 * bottoms * blocked(d.topChannels)
  }

  static func canDo(_ d: ConvolutionDescription) -> Bool {
    guard d.groups == 1, !d.isTransposed, d.kernel.count == 2, d.stride == [1, 1], d.dilation == [1, 1],
      d.kernel[1] > 1, d.kernel.reduce(1, *) * d.bottomChannels >= 16
    else { return false }
    return d.kernel.indices.allSatisfy {
      d.bottomExtents[$0] + 2 * d.padBefore[$0] == d.topExtents[$0] + d.kernel[$0] - 1
    }
  }

  init(_ description: ConvolutionDescription, pool: ThreadPool) {
    self.description = description
    self.pool = pool
    implementation = "patches" + description.epilogueName
    multiplyAdds = max(1, description.multiplyAdds)
    patches = .allocate(capacity: 1)
    patches.initialize(
      to: mtl_patches(
        bottom_channels: description.bottomChannels, top_channels: description.topChannels,
        bottom: (description.bottomExtents[0], description.bottomExtents[1]),
        top: (description.topExtents[0], description.topExtents[1]),
        kernel: (description.kernel[0], description.kernel[1]),
        pad: (description.padBefore[0], description.padBefore[1])))
    row = mtl_patches_row(patches)
    let gradient = description.topChannels * (row + 1)
    tasksAtOnce = max(1, min(description.taskCount, PatchConvolution.gradientSize / gradient))
    kernelScratch = (mtl_patches_scratch(patches, tasksAtOnce) + 15) / 16 * 16
    let gradients = description.learns ? tasksAtOnce * gradient : 0
    threadScratch = (kernelScratch + gradients + 15) / 16 * 16
    scratchByteCount = pool.count * threadScratch * MemoryLayout<Float>.stride
  }

  deinit { patches.deallocate() }

  private var taps: Int { description.bottomChannels * description.kernel[0] * description.kernel[1] }

  /// Into how many pieces the units of a pass are cut, at most one for each thread: each piece has scratch memory of its
  /// own. (Loops over them are written out: a closure within a closure would be allocated in each step.)
  private func pieceCount(units: Int) -> Int {
    let grain = max(1, PatchConvolution.grain * units / multiplyAdds)
    return Int(mtl_piece_count(units, grain, pool.count))
  }

  func forward(
    bottom: UnsafeRawPointer, weights: Parameter, bias: Parameter?, addend: UnsafeRawPointer?,
    top: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    let (bottom, weights, top) = (bottom.floats, weights.values, top.floats)
    let epilogue = mtl_epilogue(bias: bias?.values, addend: addend, rectifies: description.rectifies)
    let units = description.batch * mtl_patches_pieces(patches)
    let pieces = pieceCount(units: units)
    withUnsafePointer(to: epilogue) { epilogue in
      pool.run(pieces, grain: 1) { from, to in
        for piece in from..<to {
          mtl_patches_forward(
            units * piece / pieces, units * (piece + 1) / pieces, patches, bottom, weights, epilogue, top,
            scratch.floats + piece * threadScratch)
        }
      }
    }
  }

  func backwardData(
    topGradient: UnsafeRawPointer, weights: Parameter, bottomGradient: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    let (slopes, weights, bottomGradient) = (topGradient.floats, weights.values, bottomGradient.floats)
    let units = description.batch
    let pieces = pieceCount(units: units)
    pool.run(pieces, grain: 1) { from, to in
      for piece in from..<to {
        mtl_patches_backward_data(
          units * piece / pieces, units * (piece + 1) / pieces, patches, slopes, weights, bottomGradient,
          scratch.floats + piece * threadScratch)
      }
    }
  }

  func backwardParameters(
    bottom: UnsafeRawPointer, topGradient: UnsafeRawPointer, weights: Parameter, bias: Parameter?,
    scratch: UnsafeMutableRawPointer
  ) {
    withUnsafePointer(to: UnsafeMutableRawPointer(mutating: topGradient)) {
      backwardParameters(
        bottom: bottom, topGradients: $0, count: 1, weights: weights, bias: bias, scratch: scratch, select: { _ in })
    }
  }

  func backwardParameters(
    bottom: UnsafeRawPointer, topGradients: UnsafePointer<UnsafeMutableRawPointer>, count tasks: Int,
    weights: Parameter, bias: Parameter?, scratch: UnsafeMutableRawPointer, select: (Int) -> Void
  ) {
    let size = description.topChannels * row
    let units = description.batch
    let pieces = pieceCount(units: units)
    let slopes = UnsafeRawPointer(topGradients).assumingMemoryBound(to: UnsafePointer<Float>?.self)
    pool.run(pieces, grain: 1) { from, to in
      for piece in from..<to {
        let own = scratch.floats + piece * threadScratch
        let sums = own + kernelScratch
        sums.update(repeating: 0, count: tasks * (size + description.topChannels))
        mtl_patches_backward_weights(
          units * piece / pieces, units * (piece + 1) / pieces, patches, bottom.floats, tasks, slopes, sums,
          sums + tasks * size, own)
      }
    }
    for task in 0..<tasks {
      select(task)
      let sums = scratch.floats + kernelScratch
      add(sums + task * size, of: pieces, to: weights)
      bias?.add(sums + tasks * size + task * description.topChannels, parts: pieces, step: threadScratch)
    }
  }

  /// Adds the sums of all pieces to the gradient of the weights.
  private func add(_ sums: UnsafeMutablePointer<Float>, of pieces: Int, to weights: Parameter) {
    guard weights.isLearned else { return }
    weights.accumulate { gradients, overwrite in
      pool.run(description.topChannels, grain: max(1, 16384 / (taps * pieces))) { from, to in
        for k in from..<to {
          for piece in 0..<pieces {
            let part = sums + piece * threadScratch + k * row
            mtl_axpby(taps, 1, part, overwrite && piece == 0 ? 0 : 1, gradients + k * taps)
          }
        }
      }
    }
  }
}
