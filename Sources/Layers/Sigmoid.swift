import CaffeSchema
import Nets
import Tensors

/// top = 1 / (1 + e^-bottom).
package struct Sigmoid: ElementwiseLayer {
  package static let type = "Sigmoid"
  package static let parameterFields: [String]? = ["sigmoid_param"]

  package init(_ fields: LayerFields) throws {}

  package var keepsZero: Bool { false }
  package var reads: ElementwiseReads { .top }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    for i in 0..<piece.count { y[i] = -x[i] }
    piece.vectors.exponential(piece.count, y, y)
    for i in 0..<piece.count { y[i] = 1 / (1 + y[i]) }
  }

  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    let y = values.top
    for i in 0..<piece.count { dx[i] = dy[i] * y[i] * (1 - y[i]) }
  }

  package static let examples: [LayerExample] = [
    .elementwise("plain", type),
    .elementwise("saturated, in place", type, input: .uniform([3, 7], -100...100), inPlace: true),
  ]
}
