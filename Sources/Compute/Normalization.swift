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

/// Normalisation of each channel to zero mean and unit variance over batch and positions (Ioffe, Szegedy, 2015),
/// without scale and shift: top = (bottom - mean) / sqrt(variance + epsilon). The variance divides by the count.
package struct BatchNormDescription: Hashable, Sendable {
  /// N x C x (spatial), or N x C.
  package var shape: Shape
  package var epsilon: Float
  /// Whether mean and variance are given instead of computed from the bottom; backward then treats them as constants.
  package var usesGlobalStatistics: Bool
  package var bottomGradient: Bool

  package init(shape: Shape, epsilon: Float, usesGlobalStatistics: Bool, bottomGradient: Bool = true) {
    self.shape = shape
    self.epsilon = epsilon
    self.usesGlobalStatistics = usesGlobalStatistics
    self.bottomGradient = bottomGradient
  }
}

package protocol BatchNormOp: AnyObject {
  var layout: Layout { get }
  var scratchByteCount: Int { get }
  var implementation: String { get }

  /// `mean` and `variance` (C each) are read with global statistics and written otherwise. The top may be the bottom's
  /// memory when no backward pass follows.
  func forward(
    bottom: UnsafeRawPointer, mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>,
    top: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer)
  func backward(
    bottom: UnsafeRawPointer, mean: UnsafePointer<Float>, variance: UnsafePointer<Float>,
    topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer)
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
