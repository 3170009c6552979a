import CaffeSchema
import Nets
import Tensors

/// top = bottom, but at least `min` and at most `max`. The gradient passes where min <= bottom <= max.
///
/// NaN goes on as NaN, where Caffe makes it `min`.
package struct Clip: ElementwiseLayer {
  package static let type = "Clip"
  package static let parameterFields: [String]? = ["clip_param"]

  private let low: Float
  private let high: Float

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.clipParam
    guard param.hasMin, param.hasMax else {
      throw fields.fault("min and max are missing; give both, such as min: 0 max: 6", at: "clip_param")
    }
    guard param.min <= param.max else {
      throw fields.fault("min \(param.min) is larger than max \(param.max)", at: "clip_param.min")
    }
    (low, high) = (param.min, param.max)
  }

  package var keepsZero: Bool { low <= 0 && high >= 0 }
  package var reads: ElementwiseReads { .bottom }

  package func forward(_ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ piece: ElementwisePiece) {
    for i in 0..<piece.count { y[i] = x[i] < low ? low : x[i] > high ? high : x[i] }
  }

  package func backward(
    _ values: ElementwiseValues, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>,
    _ piece: ElementwisePiece
  ) {
    let x = values.bottom
    for i in 0..<piece.count { dx[i] = x[i] >= low && x[i] <= high ? dy[i] : 0 }
  }

  package static let examples: [LayerExample] = [
    .elementwise("around 0", type, "clip_param { min: -0.5 max: 0.7 }", input: .distinct([2, 3, 4])),
    .elementwise("away from 0", type, "clip_param { min: 0.25 max: 1.05 }", input: .distinct([3, 7]), inPlace: true),
  ]
}
