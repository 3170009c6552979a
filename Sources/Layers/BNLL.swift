import Nets
import Tensors

/// The binomial normal log likelihood, top = ln(1 + e^bottom), a smooth rectifier.
///
/// Computed as max(x, 0) + ln(1 + e^-|x|), which cannot overflow.
package struct BNLL: ElementwiseLayer {
  package static let type = "BNLL"
  package static let parameterFields: [String]? = []

  package init(_ fields: LayerFields) throws {}

  package var keepsZero: Bool { false }
  package var reads: ElementwiseReads { .bottom }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    let e = piece.scratch
    for i in 0..<piece.count { e[i] = -abs(x[i]) }
    piece.vectors.exponential(piece.count, e, e)
    for i in 0..<piece.count { e[i] += 1 }
    piece.vectors.logarithm(piece.count, e, e)
    for i in 0..<piece.count { y[i] = (x[i] > 0 ? x[i] : 0) + e[i] }
  }

  /// dx = dy / (1 + e^-x).
  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    let e = piece.scratch
    for i in 0..<piece.count { e[i] = -values.bottom[i] }
    piece.vectors.exponential(piece.count, e, e)
    for i in 0..<piece.count { dx[i] = dy[i] / (1 + e[i]) }
  }

  package static let examples: [LayerExample] = [
    .elementwise("plain", type),
    .elementwise("far from 0, in place", type, input: .uniform([3, 7], -60...60), inPlace: true),
  ]
}
