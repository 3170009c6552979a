import CaffeSchema
import Nets
import Tensors

/// The hyperbolic tangent, top = (e^2x - 1) / (e^2x + 1).
package struct TanH: ElementwiseLayer {
  package static let type = "TanH"
  package static let parameterFields: [String]? = ["tanh_param"]

  package init(_ fields: LayerFields) throws {}

  package var keepsZero: Bool { true }
  package var reads: ElementwiseReads { .top }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    piece.vectors.hyperbolicTangent(piece.count, x, y)
  }

  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    piece.vectors.hyperbolicTangentBackward(piece.count, values.top, dy, dx)
  }

  package static let examples: [LayerExample] = [
    .elementwise("plain", type), .elementwise("in place", type, input: .uniform([3, 7], -3...3), inPlace: true),
  ]
}
