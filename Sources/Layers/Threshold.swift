import CaffeSchema
import Nets
import Tensors

/// top = 1 where bottom > `threshold`, 0 elsewhere. It takes no gradient.
package struct Threshold: ElementwiseLayer {
  package static let type = "Threshold"
  package static let parameterFields: [String]? = ["threshold_param"]

  private let threshold: Float

  package init(_ fields: LayerFields) throws { threshold = fields.parameter.thresholdParam.threshold }

  package func takesGradient(bottom index: Int) -> Bool { false }
  package var keepsZero: Bool { threshold >= 0 }
  package var reads: ElementwiseReads { .nothing }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    for i in 0..<piece.count { y[i] = x[i] > threshold ? 1 : 0 }
  }

  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    dx.update(repeating: 0, count: piece.count)
  }

  package static let examples: [LayerExample] = [
    .elementwise("0.3", type, "threshold_param { threshold: 0.3 }"),
    .elementwise("below 0", type, "threshold_param { threshold: -0.3 }", inPlace: true),
  ]
}
