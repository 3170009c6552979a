import Tensors

/// Local response normalisation (Krizhevsky, Sutskever, Hinton, NIPS 2012):
/// top = bottom / (k + alpha / n * sum of squares over the window)^beta, n the window's size.
package struct LocalResponseDescription: Hashable, Sendable {
  package enum Window: Hashable, Sendable {
    /// `size` neighbouring channels at one position.
    case acrossChannels
  }

  /// N x C x H x W.
  package var shape: Shape
  package var window: Window
  package var size: Int
  package var alpha: Float
  package var beta: Float
  package var k: Float
  package var bottomGradient: Bool

  package init(
    shape: Shape, window: Window = .acrossChannels, size: Int, alpha: Float, beta: Float, k: Float,
    bottomGradient: Bool = true
  ) {
    self.shape = shape
    self.window = window
    self.size = size
    self.alpha = alpha
    self.beta = beta
    self.k = k
    self.bottomGradient = bottomGradient
  }
}

package protocol LocalResponseOp: AnyObject {
  var layout: Layout { get }
  var workspaceByteCount: Int { get }
  var scratchByteCount: Int { get }
  var implementation: String { get }

  func forward(
    bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer, workspace: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer)
  func backward(
    bottom: UnsafeRawPointer, top: UnsafeRawPointer, topGradient: UnsafeRawPointer,
    bottomGradient: UnsafeMutableRawPointer, workspace: UnsafeRawPointer, scratch: UnsafeMutableRawPointer)
}

/// Normalisation of each channel to zero mean and unit variance over batch and positions (Ioffe, Szegedy, 2015):
/// top = (bottom - mean) / sqrt(variance + epsilon) * scale + shift, and at least 0 with `rectifies`. The variance divides
/// by the count.
package struct BatchNormDescription: Hashable, Sendable {
  package enum Statistics: Hashable, Sendable {
    /// Computed from the bottom.
    case batch
    /// Given; backward treats them as constants.
    case given
    /// Mean 0 and variance 1, without epsilon: scale and shift alone.
    case none
  }

  /// N x C x (spatial), or N x C.
  package var shape: Shape
  package var epsilon: Float
  package var statistics: Statistics
  package var hasScale: Bool
  package var hasShift: Bool
  package var rectifies: Bool
  /// Whether scale and shift learn.
  package var learns: Bool
  package var bottomGradient: Bool

  package init(
    shape: Shape, epsilon: Float, statistics: Statistics, hasScale: Bool = false, hasShift: Bool = false,
    rectifies: Bool = false, learns: Bool = true, bottomGradient: Bool = true
  ) {
    self.shape = shape
    self.epsilon = epsilon
    self.statistics = statistics
    self.hasScale = hasScale
    self.hasShift = hasShift
    self.rectifies = rectifies
    self.learns = learns
    self.bottomGradient = bottomGradient
  }
}

/// `mean` and `variance` (C each) are read when they are given and written when they are the batch's; `scale` and `shift`
/// (C each) are there as the description says.
package protocol BatchNormOp: AnyObject {
  var layout: Layout { get }
  var implementation: String { get }

  /// The top may be the bottom's memory when no backward pass follows.
  func forward(
    bottom: UnsafeRawPointer, mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>,
    scale: Parameter?, shift: Parameter?, top: UnsafeMutableRawPointer)
  /// Adds to the gradients of those of `scale` and `shift` that learn. The bottom's gradient may lie where the top's
  /// does. The bottom is not read when its statistics are not the batch's, nothing is rectified and nothing learns.
  func backward(
    bottom: UnsafeRawPointer, mean: UnsafePointer<Float>, variance: UnsafePointer<Float>, scale: Parameter?,
    shift: Parameter?, topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer?)
}

/// exp(x - max) / sum over the middle axis of outer x channels x inner; plain.
package struct SoftmaxDescription: Hashable, Sendable {
  package var outer: Int
  package var channels: Int
  package var inner: Int

  package init(outer: Int, channels: Int, inner: Int) {
    self.outer = outer
    self.channels = channels
    self.inner = inner
  }
}

/// Bottom and top may be the same memory, and so may their gradients.
package protocol SoftmaxOp: AnyObject {
  var implementation: String { get }
  func forward(bottom: UnsafePointer<Float>, top: UnsafeMutablePointer<Float>)
  func backward(
    top: UnsafePointer<Float>, topGradient: UnsafePointer<Float>, bottomGradient: UnsafeMutablePointer<Float>)
}
