import Compute
import Glibc

/// Each function as its doc comment in `VectorOps` says, element after element.
struct ReferenceVectors: VectorOps {
  func axpby(_ count: Int, _ alpha: Float, _ x: UnsafePointer<Float>, _ beta: Float, _ y: UnsafeMutablePointer<Float>) {
    if beta == 0 {
      for i in 0..<count { y[i] = alpha * x[i] }
    } else {
      for i in 0..<count { y[i] = alpha * x[i] + beta * y[i] }
    }
  }

  func multiply(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ z: UnsafeMutablePointer<Float>) {
    for i in 0..<count { z[i] = x[i] * y[i] }
  }

  func exponential(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>) {
    for i in 0..<count { y[i] = expf(x[i]) }
  }

  func logarithm(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>) {
    for i in 0..<count { y[i] = logf(x[i]) }
  }

  func hyperbolicTangent(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>) {
    for i in 0..<count { y[i] = tanhf(x[i]) }
  }

  func hyperbolicTangentBackward(
    _ count: Int, _ y: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>
  ) {
    for i in 0..<count { dx[i] = dy[i] * (1 - y[i] * y[i]) }
  }

  func absoluteBackward(
    _ count: Int, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>
  ) {
    // A NaN goes on.
    for i in 0..<count { dx[i] = x[i] > 0 ? dy[i] : x[i] < 0 ? -dy[i] : x[i] * dy[i] }
  }

  func dot(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>) -> Double {
    var total = 0.0
    for i in 0..<count { total += Double(x[i]) * Double(y[i]) }
    return total
  }

  func sum(_ count: Int, _ x: UnsafePointer<Float>) -> Double {
    var total = 0.0
    for i in 0..<count { total += Double(x[i]) }
    return total
  }

  func absoluteSum(_ count: Int, _ x: UnsafePointer<Float>) -> Double {
    var total = 0.0
    for i in 0..<count { total += Double(abs(x[i])) }
    return total
  }

  func isFinite(_ count: Int, _ x: UnsafePointer<Float>) -> Bool {
    for i in 0..<count where !x[i].isFinite { return false }
    return true
  }
}
