import Tensors

/// A convolution or, with `isTransposed`, a deconvolution, over 1 to 3 spatial axes.
///
/// Bottom N x C x (spatial), top N x K x (spatial), weights as in the format: K x C/group x (kernel) for a convolution,
/// C x K/group x (kernel) for a deconvolution, bias K.
package struct ConvolutionDescription: Hashable, Sendable {
  package var batch: Int
  package var bottomChannels: Int
  package var topChannels: Int
  package var groups: Int
  package var bottomExtents: [Int]
  package var topExtents: [Int]
  package var kernel: [Int]
  package var stride: [Int]
  /// Zeros before the first and after the last element of each axis. `padAfter` may be negative where the last
  /// elements of the bottom are in no window.
  package var padBefore: [Int]
  package var dilation: [Int]
  package var hasBias: Bool
  /// Whether a blob like the top is added to the sums, and whether what is below 0 then becomes 0; NaN stays. Backward is
  /// given the gradient of the sums: neither concerns it.
  package var hasAddend = false
  package var rectifies = false
  package var isTransposed: Bool
  /// Whether the weights and bias learn, and whether the bottom wants a gradient: an op makes only what is needed.
  package var learns: Bool
  package var bottomGradient: Bool
  /// Of how many tasks the gradients of weights and bias will be asked for in a pass.
  package var taskCount = 1
  /// Whether bottoms and tops must be plain: where their blobs have other axes than the op, those before the channels
  /// being its batch.
  package var isPlain = false

  package init(
    batch: Int, bottomChannels: Int, topChannels: Int, groups: Int = 1, bottomExtents: [Int], topExtents: [Int],
    kernel: [Int], stride: [Int], padBefore: [Int], dilation: [Int], hasBias: Bool, isTransposed: Bool = false,
    learns: Bool = true, bottomGradient: Bool = true
  ) {
    self.batch = batch
    self.bottomChannels = bottomChannels
    self.topChannels = topChannels
    self.groups = groups
    self.bottomExtents = bottomExtents
    self.topExtents = topExtents
    self.kernel = kernel
    self.stride = stride
    self.padBefore = padBefore
    self.dilation = dilation
    self.hasBias = hasBias
    self.isTransposed = isTransposed
    self.learns = learns
    self.bottomGradient = bottomGradient
  }

  package var bottomShape: Shape { Shape([batch, bottomChannels] + bottomExtents) }
  package var topShape: Shape { Shape([batch, topChannels] + topExtents) }
  package var weightShape: Shape {
    Shape(
      isTransposed
        ? [bottomChannels, topChannels / groups] + kernel : [topChannels, bottomChannels / groups] + kernel)
  }
  /// Multiplications with addition in one forward pass.
  package var multiplyAdds: Int {
    weightShape.count * batch * (isTransposed ? bottomExtents : topExtents).reduce(1, *)
  }
}

package protocol ConvolutionOp: AnyObject {
  var bottomLayout: Layout { get }
  var topLayout: Layout { get }
  var scratchByteCount: Int { get }
  var implementation: String { get }

  /// - Parameter addend: in the top's layout; present when the description has one.
  func forward(
    bottom: UnsafeRawPointer, weights: Parameter, bias: Parameter?, addend: UnsafeRawPointer?,
    top: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer)
  func backwardData(
    topGradient: UnsafeRawPointer, weights: Parameter, bottomGradient: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer)
  /// Adds to the gradients of those of `weights` and `bias` that learn.
  func backwardParameters(
    bottom: UnsafeRawPointer, topGradient: UnsafeRawPointer, weights: Parameter, bias: Parameter?,
    scratch: UnsafeMutableRawPointer)

  /// Of how many tasks the gradients of weights and bias are made at once for less than one after another; 1 where nothing
  /// is saved.
  var tasksAtOnce: Int { get }
  /// `backwardParameters` for `count` tasks, at most `tasksAtOnce`, with a gradient of the top each. `select(i)` makes weights
  /// and bias take the gradients of the i-th.
  func backwardParameters(
    bottom: UnsafeRawPointer, topGradients: UnsafePointer<UnsafeMutableRawPointer>, count: Int, weights: Parameter,
    bias: Parameter?, scratch: UnsafeMutableRawPointer, select: (Int) -> Void)
}

extension ConvolutionOp {
  package var tasksAtOnce: Int { 1 }

  package func backwardParameters(
    bottom: UnsafeRawPointer, topGradients: UnsafePointer<UnsafeMutableRawPointer>, count: Int, weights: Parameter,
    bias: Parameter?, scratch: UnsafeMutableRawPointer, select: (Int) -> Void
  ) {
    for task in 0..<count {
      select(task)
      backwardParameters(
        bottom: bottom, topGradient: topGradients[task], weights: weights, bias: bias, scratch: scratch)
    }
  }
}
