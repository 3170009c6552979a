import CaffeSchema
import Nets
import Tensors

/// top = bottom / (1 + e^(-`beta` * bottom)) (Ramachandran, Zoph, Le, 2017).
package struct Swish: ElementwiseLayer {
  package static let type = "Swish"
  package static let parameterFields: [String]? = ["swish_param"]

  private let beta: Float

  package init(_ fields: LayerFields) throws { beta = fields.parameter.swishParam.beta }

  package var keepsZero: Bool { true }
  package var reads: ElementwiseReads { .bottom }

  /// e^(-beta x) into the scratch.
  private func exponential(_ x: UnsafePointer<Float>, _ piece: ElementwisePiece) -> UnsafePointer<Float> {
    for i in 0..<piece.count { piece.scratch[i] = -beta * x[i] }
    piece.vectors.exponential(piece.count, piece.scratch, piece.scratch)
    return UnsafePointer(piece.scratch)
  }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    let e = exponential(x, piece)
    for i in 0..<piece.count { y[i] = x[i] / (1 + e[i]) }
  }

  /// With s = 1 / (1 + e^(-beta x)): dx = dy (s + beta x s (1 - s)).
  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    let x = values.bottom
    let e = exponential(x, piece)
    for i in 0..<piece.count {
      let s = 1 / (1 + e[i])
      dx[i] = dy[i] * (s + beta * x[i] * s * (1 - s))
    }
  }

  package static let examples: [LayerExample] = [
    .elementwise("beta 1", type), .elementwise("beta 1.5, in place", type, "swish_param { beta: 1.5 }", inPlace: true),
  ]
}
