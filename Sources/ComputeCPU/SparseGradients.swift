import CKernels
import Compute
import Tensors

/// The backward passes of a direct convolution over blocks of 16 channels where much of the top's gradient is zero: behind a
/// maximum pooling three quarters and more are, behind a rectifier half.
final class SparseGradients {
  let scratchByteCount: Int
  let tasksAtOnce: Int
  private let description: ConvolutionDescription
  private let pool: ThreadPool
  private let sparse: UnsafeMutablePointer<mtl_sparse>
  /// Elements of an image's top. Asked for in each pass, and it takes allocations to find out.
  private let imageSize: Int
  /// Floats of the packed weights, of a task's gradient of the bias, of a thread's kernel, and of all that a thread has.
  private let weightsSize: Int
  private let biasSize: Int
  private let kernelScratch: Int
  private let threadScratch: Int

  /// Images whose gradient is looked at to tell how much of it is zero.
  private static let sample = 4
  /// Floats of a thread's gradient of the weights, above which it would not stay in the caches.
  private static let mostWeights = 1_048_576
  /// Of those of all tasks that are taken at once: they stay in the second cache.
  private static let gradientSize = 262_144

  /// - Parameter choice: what computes the convolution otherwise.
  static func canDo(_ d: ConvolutionDescription, _ choice: ConvolutionChoice) -> Bool {
    let perGroup = [d.bottomChannels / d.groups, d.topChannels / d.groups]
    return choice.bottom == .blocked16 && choice.top == .blocked16 && d.kernel.count == 2
      && d.kernel[0] == d.kernel[1]
      && (2...5).contains(d.kernel[0]) && d.dilation == [1, 1] && !d.isTransposed
      && perGroup.allSatisfy { $0 >= 16 } && (d.groups == 1 || perGroup.allSatisfy { $0 % 16 == 0 })
      && d.weightShape.count <= mostWeights && (d.learns || d.bottomGradient)
  }

  init(_ description: ConvolutionDescription, isHalf: Bool, pool: ThreadPool) {
    self.description = description
    self.pool = pool
    let d = description
    func blocks(_ channels: Int) -> Int { (channels / d.groups + 15) / 16 }
    func after(_ axis: Int) -> Int {
      max(0, (d.topExtents[axis] - 1) * d.stride[axis] + d.kernel[axis] - d.bottomExtents[axis] - d.padBefore[axis])
    }
    sparse = .allocate(capacity: 1)
    sparse.initialize(
      to: mtl_sparse(
        groups: d.groups, bottom_channels: d.bottomChannels / d.groups, top_channels: d.topChannels / d.groups,
        bottom_blocks: blocks(d.bottomChannels), top_blocks: blocks(d.topChannels),
        bottom: (d.bottomExtents[0], d.bottomExtents[1]), top: (d.topExtents[0], d.topExtents[1]),
        kernel: d.kernel[0], stride: (d.stride[0], d.stride[1]), pad_before: (d.padBefore[0], d.padBefore[1]),
        pad_after: (after(0), after(1)), is_half: isHalf))
    imageSize = d.topShape.count / max(1, d.batch)
    weightsSize = mtl_sparse_weights_size(sparse)
    biasSize = blocks(d.topChannels) * d.groups * 16
    tasksAtOnce = max(1, min(d.taskCount, SparseGradients.gradientSize / (weightsSize + biasSize)))
    kernelScratch = (mtl_sparse_scratch(sparse, tasksAtOnce) + 15) / 16 * 16
    threadScratch = kernelScratch + (d.learns ? tasksAtOnce * (weightsSize + biasSize) : 0)
    scratchByteCount =
      ((d.bottomGradient ? weightsSize : 0) + pool.count * threadScratch) * MemoryLayout<Float>.stride
  }

  deinit { sparse.deallocate() }

  /// Whether so much is zero that these passes are faster; the fewer taps a window has, the more has to be, and twice as much
  /// beside direct kernels in bfloat. Some images tell.
  func pay(_ topGradient: UnsafeRawPointer) -> Bool {
    let images = min(SparseGradients.sample, description.batch)
    var count = 0
    for index in 0..<images {
      count += mtl_sparse_count(sparse, topGradient, description.batch * index / images)
    }
    let all = images * imageSize
    let most = (description.kernel[0] < 4 ? 2 : 3) * all
    return 5 * count < (sparse.pointee.is_half ? most / 2 : most)
  }

  /// Each has scratch memory of its own. (Loops over them are written out: a closure within a closure would be allocated in
  /// each step.)
  private var pieces: Int { min(pool.count, description.batch) }

  func backwardData(
    topGradient: UnsafeRawPointer, weights: Parameter, bottomGradient: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    let (packed, values) = (scratch.floats, weights.values)
    pool.run(sparse.pointee.groups * sparse.pointee.top_blocks, grain: 1) { from, to in
      mtl_sparse_pack(from, to, sparse, values, packed)
    }
    let (images, pieces) = (description.batch, self.pieces)
    pool.run(pieces, grain: 1) { from, to in
      for piece in from..<to {
        mtl_sparse_backward_data(
          images * piece / pieces, images * (piece + 1) / pieces, sparse, topGradient, packed,
          bottomGradient, packed + weightsSize + piece * threadScratch)
      }
    }
  }

  /// See `ConvolutionOp`.
  func backwardParameters(
    bottom: UnsafeRawPointer, topGradients: UnsafePointer<UnsafeMutableRawPointer>, count tasks: Int,
    weights: Parameter, bias: Parameter?, scratch: UnsafeMutableRawPointer, select: (Int) -> Void
  ) {
    let (images, pieces) = (description.batch, self.pieces)
    let slopes = UnsafeRawPointer(topGradients).assumingMemoryBound(to: UnsafeRawPointer?.self)
    pool.run(pieces, grain: 1) { from, to in
      for piece in from..<to {
        let own = scratch.floats + piece * threadScratch
        let sums = own + kernelScratch
        sums.update(repeating: 0, count: tasks * (weightsSize + biasSize))
        mtl_sparse_backward_weights(
          images * piece / pieces, images * (piece + 1) / pieces, sparse, bottom, tasks, slopes, sums,
          sums + tasks * weightsSize, own)
      }
    }
    let sums = scratch.floats + kernelScratch
    for task in 0..<tasks {
      select(task)
      add(sums + task * weightsSize, of: pieces, to: weights)
      bias?.add(sums + tasks * weightsSize + task * biasSize, parts: pieces, step: threadScratch)
    }
  }

  /// Adds the sums of all pieces to the gradient of the weights.
  private func add(_ sums: UnsafeMutablePointer<Float>, of pieces: Int, to weights: Parameter) {
    guard weights.isLearned else { return }
    weights.accumulate { gradients, overwrite in
      pool.run(description.topChannels, grain: 1) { from, to in
        mtl_sparse_finish(from, to, sparse, pieces, threadScratch, sums, !overwrite, gradients)
      }
    }
  }
}
