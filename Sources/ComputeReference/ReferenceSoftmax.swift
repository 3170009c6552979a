import Compute
import Glibc

/// top[c] = exp(bottom[c] - max) / sum over channels of the same; a NaN among the channels makes them all NaN.
///
/// bottom gradient[c] = top[c] (top gradient[c] - sum over channels of top gradient * top).
final class ReferenceSoftmax: SoftmaxOp {
  let implementation = "reference"
  private let description: SoftmaxDescription

  init(_ description: SoftmaxDescription) { self.description = description }

  func forward(bottom: UnsafePointer<Float>, top: UnsafeMutablePointer<Float>) {
    forEachColumn { start, step, channels in
      var largest = -Float.infinity
      for c in 0..<channels where bottom[start + c * step] > largest { largest = bottom[start + c * step] }
      var total = 0.0
      for c in 0..<channels {
        let value = expf(bottom[start + c * step] - largest)
        top[start + c * step] = value
        total += Double(value)
      }
      let divisor = Float(total)
      for c in 0..<channels { top[start + c * step] /= divisor }
    }
  }

  func backward(
    top: UnsafePointer<Float>, topGradient: UnsafePointer<Float>, bottomGradient: UnsafeMutablePointer<Float>
  ) {
    forEachColumn { start, step, channels in
      var dot = 0.0
      for c in 0..<channels { dot += Double(topGradient[start + c * step]) * Double(top[start + c * step]) }
      let mean = Float(dot)
      for c in 0..<channels {
        let i = start + c * step
        bottomGradient[i] = top[i] * (topGradient[i] - mean)
      }
    }
  }

  /// Calls `body` for each of the vectors over which is normalised: elements `start + c * step`, c in 0 ..< `channels`.
  @inline(__always)
  private func forEachColumn(_ body: (_ start: Int, _ step: Int, _ channels: Int) -> Void) {
    for outer in 0..<description.outer {
      for inner in 0..<description.inner {
        body(outer * description.channels * description.inner + inner, description.inner, description.channels)
      }
    }
  }
}
