import CaffeSchema
import Glibc
import Nets
import Tensors

/// top = log of (`shift` + `scale` * bottom) to the `base`; base -1, the default, stands for e.
package struct Log: ElementwiseLayer {
  package static let type = "Log"
  package static let parameterFields: [String]? = ["log_param"]

  private let scale: Float
  private let shift: Float
  /// 1 / ln(base).
  private let factor: Float

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.logParam
    guard param.base == -1 || (param.base > 0 && param.base.isFinite && param.base != 1) else {
      throw fields.fault("base must be above 0 and not 1, or -1 for e; it is \(param.base)", at: "log_param.base")
    }
    factor = param.base == -1 ? 1 : 1 / logf(param.base)
    (scale, shift) = (param.scale, param.shift)
  }

  package var keepsZero: Bool { false }
  package var reads: ElementwiseReads { .bottom }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    for i in 0..<piece.count { y[i] = shift + scale * x[i] }
    piece.vectors.logarithm(piece.count, y, y)
    if factor != 1 { for i in 0..<piece.count { y[i] *= factor } }
  }

  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    let numerator = scale * factor
    for i in 0..<piece.count { dx[i] = dy[i] * numerator / (shift + scale * values.bottom[i]) }
  }

  package static let examples: [LayerExample] = [
    .elementwise("base e", type, input: .uniform([2, 3, 4], 0.5...3)),
    .elementwise(
      "base 10, in place", type, "log_param { base: 10 scale: 2 shift: 1 }", input: .uniform([3, 7], 0.1...3),
      inPlace: true),
  ]
}
