import Compute
import Tensors

/// top[e] = sum over i of coefficients[i] bottoms[i][e], bottom after bottom; 0 where that is less and it rectifies.
final class ReferenceSum: SumOp {
  let layout = Layout.plain
  let implementation = "reference"
  private let description: SumDescription

  init(_ description: SumDescription) { self.description = description }

  func forward(bottoms: UnsafePointer<UnsafeMutableRawPointer>, top: UnsafeMutableRawPointer) {
    description.coefficients.withUnsafeBufferPointer { coefficients in
      for element in 0..<description.shape.count {
        var total: Float = 0
        for i in 0..<coefficients.count { total += coefficients[i] * bottoms[i].floats[element] }
        top.floats[element] = description.rectifies && total < 0 ? 0 : total
      }
    }
  }
}
