import CaffeSchema
import Nets
import Tensors

/// top = bottom where it is above 0, and `alpha` (e^bottom - 1) elsewhere (Clevert, Unterthiner, Hochreiter, ICLR
/// 2016).
package struct ELU: ElementwiseLayer {
  package static let type = "ELU"
  package static let parameterFields: [String]? = ["elu_param"]

  private let alpha: Float

  package init(_ fields: LayerFields) throws { alpha = fields.parameter.eluParam.alpha }

  package var keepsZero: Bool { true }
  /// With alpha of 0 or more the top has the bottom's sign, and tells the derivative alone.
  package var reads: ElementwiseReads { alpha >= 0 ? .top : .bottom }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    piece.vectors.exponential(piece.count, x, piece.scratch)
    let e = piece.scratch
    for i in 0..<piece.count { y[i] = x[i] > 0 ? x[i] : alpha * (e[i] - 1) }
  }

  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    if alpha >= 0 {
      let y = values.top
      for i in 0..<piece.count { dx[i] = y[i] > 0 ? dy[i] : dy[i] * (y[i] + alpha) }
    } else {
      let x = values.bottom
      let e = piece.scratch
      piece.vectors.exponential(piece.count, x, e)
      for i in 0..<piece.count { dx[i] = x[i] > 0 ? dy[i] : dy[i] * alpha * e[i] }
    }
  }

  package static let examples: [LayerExample] = [
    .elementwise("alpha 1", type),
    .elementwise(
      "alpha 0.5, in place", type, "elu_param { alpha: 0.5 }", input: .normalAway([3, 7], from: 0), inPlace: true),
    .elementwise("alpha below 0", type, "elu_param { alpha: -0.5 }", input: .normalAway([3, 7], from: 0)),
  ]
}
