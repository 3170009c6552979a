import Tensors

/// Top (rows x outputs) = bottom (rows x inputs) times weights + bias.
package struct InnerProductDescription: Hashable, Sendable {
  /// The whole bottom: `rows` is the product of the axes before the flattened ones, `inputs` of the others.
  package var bottomShape: Shape
  package var rows: Int
  package var inputs: Int
  package var outputs: Int
  package var hasBias: Bool
  /// Weights are inputs x outputs instead of outputs x inputs.
  package var isTransposed: Bool
  package var learns: Bool
  package var bottomGradient: Bool

  package init(
    bottomShape: Shape, rows: Int, inputs: Int, outputs: Int, hasBias: Bool, isTransposed: Bool = false,
    learns: Bool = true, bottomGradient: Bool = true
  ) {
    self.bottomShape = bottomShape
    self.rows = rows
    self.inputs = inputs
    self.outputs = outputs
    self.hasBias = hasBias
    self.isTransposed = isTransposed
    self.learns = learns
    self.bottomGradient = bottomGradient
  }
}

/// The top is always plain.
package protocol InnerProductOp: AnyObject {
  var bottomLayout: Layout { get }
  var scratchByteCount: Int { get }
  var implementation: String { get }

  func forward(
    bottom: UnsafeRawPointer, weights: Parameter, bias: Parameter?, top: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutableRawPointer)
  func backwardData(
    topGradient: UnsafePointer<Float>, weights: Parameter, bottomGradient: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer)
  /// Adds to the gradients of those of `weights` and `bias` that learn.
  func backwardParameters(
    bottom: UnsafeRawPointer, topGradient: UnsafePointer<Float>, weights: Parameter, bias: Parameter?,
    scratch: UnsafeMutableRawPointer)
}
