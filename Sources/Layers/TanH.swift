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

  /// (1 - e^-2|x|) / (1 + e^-2|x|), and near 0, where that loses digits, the series
  /// x - x^3/3 + 2 x^5/15 - 17 x^7/315 + 62 x^9/2835.
  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    let e = piece.scratch
    for i in 0..<piece.count { e[i] = -2 * abs(x[i]) }
    piece.vectors.exponential(piece.count, e, e)
    for i in 0..<piece.count {
      let q = x[i] * x[i]
      let series = x[i] * (1 + q * (-1 / 3 + q * (2 / 15 + q * (-17 / 315 + q * (62 / 2835)))))
      let magnitude = (1 - e[i]) / (1 + e[i])
      y[i] = q < 0.0625 ? series : x[i] < 0 ? -magnitude : magnitude
    }
  }

  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    let y = values.top
    for i in 0..<piece.count { dx[i] = dy[i] * (1 - y[i] * y[i]) }
  }

  package static let examples: [LayerExample] = [
    .elementwise("plain", type), .elementwise("in place", type, input: .uniform([3, 7], -3...3), inPlace: true),
  ]
}
