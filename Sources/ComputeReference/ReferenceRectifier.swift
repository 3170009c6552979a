import Compute
import Tensors

/// top = bottom where it is above 0, negativeSlope * bottom elsewhere.
///
/// With a slope of 0 minus infinity gives 0, where the product would be NaN. A NaN stays NaN.
final class ReferenceRectifier: RectifierOp {
  let layout = Layout.plain
  let implementation = "reference"
  private let count: Int
  private let slope: Float

  init(_ description: RectifierDescription) {
    count = description.shape.count
    slope = description.negativeSlope
  }

  func forward(bottom: UnsafeRawPointer, top: UnsafeMutableRawPointer) {
    let (from, to, slope) = (bottom.floats, top.floats, slope)
    if slope == 0 {
      for i in 0..<count { to[i] = from[i] <= 0 ? 0 : from[i] }
    } else {
      for i in 0..<count { to[i] = from[i] > 0 ? from[i] : slope * from[i] }
    }
  }

  func backward(reference: UnsafeRawPointer, topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer) {
    let (sign, from, to, slope) = (reference.floats, topGradient.floats, bottomGradient.floats, slope)
    for i in 0..<count { to[i] = from[i] * (sign[i] > 0 ? 1 : slope) }
  }
}
