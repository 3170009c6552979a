import Compute
import Nets
import Tensors

/// What may follow a normalisation and be done with it: a Scale of the channels, then a ReLU without slope.
struct NormalizationTail {
  private(set) var count = 0
  private(set) var hasScale = false
  private(set) var hasShift = false
  private(set) var rectifies = false

  init(_ followers: [FollowingLayer]) { self.init(followers.map { ($0.definition, $0.bottomShape) }) }

  /// Of the layers that have been taken over; all have the shape of the first one's bottom.
  init(_ followers: [AbsorbedLayer], bottom: Shape) { self.init(followers.map { ($0.definition, bottom) }) }

  private init(_ layers: [(definition: any Layer, bottom: Shape)]) {
    for (definition, bottom) in layers {
      if let scale = definition as? Scale, count == 0, let hasBias = scale.channelBias(bottom) {
        (hasScale, hasShift) = (true, hasBias)
      } else if let rectifier = definition as? ReLU, !rectifies, rectifier.isPlain {
        rectifies = true
      } else {
        return
      }
      count += 1
      if rectifies { return }
    }
  }
}

/// Runs a `BatchNormOp`; the layers that use it say what the statistics are.
class ChannelNormalizationRun: DescribedRun {
  let bottom: Blob
  private let op: any BatchNormOp
  private let top: Blob
  private let scale: Parameter?
  private let shift: Parameter?
  /// Mean and variance of this pass, C each.
  private let statistics: Region
  private let channels: Int

  /// The op's blobs are in the layout in which the bottom comes.
  ///
  /// - Parameter learns: whether the scale or the shift does.
  init(
    _ binding: LayerBinding, _ description: BatchNormDescription, scale: Parameter?, shift: Parameter?,
    learns: Bool
  ) throws {
    var description = description
    description.learns = learns
    op = try binding.engine.batchNorm(description, bottom: binding.bottomLayout(0))
    bottom = binding.bottom(0, in: op.layout)
    top = binding.top(0, in: op.layout)
    self.scale = scale
    self.shift = shift
    channels = description.shape[1]
    statistics = binding.workspace(2 * channels * MemoryLayout<Float>.stride)
    let readsBottom = description.statistics == .batch || description.rectifies || learns
    binding.backwardReads(bottoms: readsBottom ? [bottom] : [])
    if !binding.runsBackward || !readsBottom { binding.allowInPlace(bottom, top) }
  }

  var mean: UnsafeMutablePointer<Float> { statistics.pointer.assumingMemoryBound(to: Float.self) }
  var variance: UnsafeMutablePointer<Float> { mean + channels }
  var implementation: String { op.implementation }

  func forward() {
    op.forward(bottom: bottom.data, mean: mean, variance: variance, scale: scale, shift: shift, top: top.data)
  }

  func backward() {
    op.backward(
      bottom: bottom.data, mean: mean, variance: variance, scale: scale, shift: shift, topGradient: top.gradient,
      bottomGradient: bottom.hasGradient ? bottom.gradient : nil)
  }
}
