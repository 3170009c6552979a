import Nets
import Tensors

/// top = bottom, but at least 0 and at most `n` (6). The gradient passes where 0 < bottom < n.
package struct ReLU6: ElementwiseLayer {
  package static let type = "ReLU6"
  package static let parameterFields: [String]? = ["relu6_param"]

  private let limit: Float

  package init(_ fields: LayerFields) throws {
    limit = fields.parameter.relu6Param.n
    guard limit > 0 else { throw fields.fault("n must be above 0", at: "relu6_param.n") }
  }

  package var keepsZero: Bool { true }
  /// The top tells where it was cut.
  package var reads: ElementwiseReads { .top }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    for i in 0..<piece.count { y[i] = x[i] < 0 ? 0 : x[i] > limit ? limit : x[i] }
  }

  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    let y = values.top
    for i in 0..<piece.count { dx[i] = y[i] > 0 && y[i] < limit ? dy[i] : 0 }
  }

  package static let examples: [LayerExample] = [
    .elementwise("plain", type, input: .distinct([2, 3, 4, 8])),
    .elementwise("another limit", type, "relu6_param { n: 1 }", input: .distinct([2, 3, 4, 2])),
    .elementwise("in place", type, input: .distinct([13, 11]), inPlace: true),
  ]
}
