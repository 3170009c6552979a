import CaffeSchema
import Glibc
import Nets
import Tensors

/// top = `base`^(`shift` + `scale` * bottom); base -1, the default, stands for e.
package struct Exp: ElementwiseLayer {
  package static let type = "Exp"
  package static let parameterFields: [String]? = ["exp_param"]

  /// top = outer * e^(inner * bottom).
  private let inner: Float
  private let outer: Float

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.expParam
    guard param.base == -1 || (param.base > 0 && param.base.isFinite) else {
      throw fields.fault("base must be above 0, or -1 for e; it is \(param.base)", at: "exp_param.base")
    }
    let logarithm = param.base == -1 ? 1 : logf(param.base)
    inner = logarithm * param.scale
    outer = expf(logarithm * param.shift)
  }

  package var keepsZero: Bool { false }
  package var reads: ElementwiseReads { .top }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    for i in 0..<piece.count { y[i] = inner * x[i] }
    piece.vectors.exponential(piece.count, y, y)
    if outer != 1 { for i in 0..<piece.count { y[i] *= outer } }
  }

  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    for i in 0..<piece.count { dx[i] = dy[i] * inner * values.top[i] }
  }

  package static let examples: [LayerExample] = [
    .elementwise("base e", type),
    .elementwise("base 2, in place", type, "exp_param { base: 2 scale: 0.5 shift: 1 }", inPlace: true),
  ]
}
