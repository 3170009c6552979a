import Tensors

/// Pooling over 1 to 3 spatial axes of N x C x (spatial).
///
/// Windows start at `index * stride - padBefore` and are cut where the padded bottom ends. A maximum looks only at real
/// elements; an empty window gives 0 and takes no gradient; a NaN in the window gives NaN and takes the gradient. An
/// average divides by the window's size after it was cut to the padded bottom (`extent + pad` on the far side), zeros of
/// the padding counted.
package struct PoolingDescription: Hashable, Sendable {
  package enum Method: Hashable, Sendable { case max, average }

  package var method: Method
  package var batch: Int
  package var channels: Int
  package var bottomExtents: [Int]
  package var topExtents: [Int]
  package var kernel: [Int]
  package var stride: [Int]
  package var pad: [Int]
  /// The average divides by real elements alone (a fork's `AVE_EXC_PAD`).
  package var excludesPadding: Bool
  /// Whether backward will be asked for.
  package var bottomGradient: Bool
  /// Whether `forward` also fills a mask: the position of each maximum in its plane, -1 for an empty window.
  package var wantsMask: Bool

  package init(
    method: Method, batch: Int, channels: Int, bottomExtents: [Int], topExtents: [Int], kernel: [Int], stride: [Int],
    pad: [Int], excludesPadding: Bool = false, bottomGradient: Bool = true, wantsMask: Bool = false
  ) {
    self.method = method
    self.batch = batch
    self.channels = channels
    self.bottomExtents = bottomExtents
    self.topExtents = topExtents
    self.kernel = kernel
    self.stride = stride
    self.pad = pad
    self.excludesPadding = excludesPadding
    self.bottomGradient = bottomGradient
    self.wantsMask = wantsMask
  }

  package var bottomShape: Shape { Shape([batch, channels] + bottomExtents) }
  package var topShape: Shape { Shape([batch, channels] + topExtents) }
}

package protocol PoolingOp: AnyObject {
  var bottomLayout: Layout { get }
  var topLayout: Layout { get }
  var workspaceByteCount: Int { get }
  var scratchByteCount: Int { get }
  var implementation: String { get }

  /// `mask` is plain, of the top's shape; given exactly when the description wants one.
  func forward(
    bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer, mask: UnsafeMutablePointer<Float>?,
    workspace: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer)
  func backward(
    topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer, workspace: UnsafeRawPointer,
    scratch: UnsafeMutableRawPointer)
}
