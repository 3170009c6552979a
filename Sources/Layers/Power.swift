import CaffeSchema
import Glibc
import Nets
import Tensors

/// top = (`shift` + `scale` * bottom)^`power`.
///
/// The derivative is scale * power * (shift + scale * bottom)^(power - 1), also at 0, where Caffe divides 0 by 0.
package struct Power: ElementwiseLayer {
  package static let type = "Power"
  package static let parameterFields: [String]? = ["power_param"]

  private let power: Float
  private let scale: Float
  private let shift: Float

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.powerParam
    (power, scale, shift) = (param.power, param.scale, param.shift)
  }

  /// Power or scale 0: the top does not depend on the bottom.
  private var isConstant: Bool { power * scale == 0 }

  package var keepsZero: Bool { shift == 0 && power > 0 && !isConstant }
  package var reads: ElementwiseReads { isConstant || power == 1 ? .nothing : .bottom }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    if isConstant {
      y.update(repeating: power == 0 ? 1 : powf(shift, power), count: piece.count)
      return
    }
    for i in 0..<piece.count { y[i] = shift + scale * x[i] }
    if power == 2 {
      for i in 0..<piece.count { y[i] *= y[i] }
    } else if power != 1 {
      for i in 0..<piece.count { y[i] = powf(y[i], power) }
    }
  }

  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    let factor = power * scale
    let x = values.bottom
    if isConstant {
      dx.update(repeating: 0, count: piece.count)
    } else if power == 1 {
      for i in 0..<piece.count { dx[i] = dy[i] * factor }
    } else if power == 2 {
      for i in 0..<piece.count { dx[i] = dy[i] * factor * (shift + scale * x[i]) }
    } else {
      for i in 0..<piece.count { dx[i] = dy[i] * factor * powf(shift + scale * x[i], power - 1) }
    }
  }

  package static let examples: [LayerExample] = [
    .elementwise("linear", type, "power_param { scale: -3 shift: 1 }"),
    .elementwise("squared, in place", type, "power_param { power: 2 scale: 0.5 shift: -0.2 }", inPlace: true),
    .elementwise("power 1.7", type, "power_param { power: 1.7 scale: 2 shift: 0.5 }", input: .uniform([3, 7], 0...2)),
    .elementwise("power -0.5", type, "power_param { power: -0.5 }", input: .uniform([3, 7], 0.5...2)),
    .elementwise("power 0", type, "power_param { power: 0 }"),
    .elementwise("scale 0", type, "power_param { power: 3 scale: 0 shift: 2 }"),
  ]
}
