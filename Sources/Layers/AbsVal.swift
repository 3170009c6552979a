import Nets
import Tensors

/// top = |bottom|. The gradient at 0 is 0. In place is allowed, which Caffe refuses.
package struct AbsVal: ElementwiseLayer {
  package static let type = "AbsVal"
  package static let parameterFields: [String]? = []

  package init(_ fields: LayerFields) throws {}

  package var keepsZero: Bool { true }
  package var reads: ElementwiseReads { .bottom }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    for i in 0..<piece.count { y[i] = abs(x[i]) }
  }

  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    piece.vectors.absoluteBackward(piece.count, values.bottom, dy, dx)
  }

  package static let examples: [LayerExample] = [
    .elementwise("plain", type, input: .normalAway([2, 3, 4, 5], from: 0)),
    .elementwise("in place", type, input: .normalAway([3, 7], from: 0), inPlace: true),
  ]
}
