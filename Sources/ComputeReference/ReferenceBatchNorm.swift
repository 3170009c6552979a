import Compute
import Tensors

/// With E the mean over batch and positions of one channel:
/// mean = E[bottom], variance = E[(bottom - mean)^2], top = (bottom - mean) / sqrt(variance + epsilon).
///
/// bottom gradient = (top gradient - E[top gradient] - top E[top gradient * top]) / sqrt(variance + epsilon);
/// with global statistics, which are constants, = top gradient / sqrt(variance + epsilon).
/// Source: Ioffe and Szegedy, Batch Normalization, ICML 2015, section 3.
final class ReferenceBatchNorm: BatchNormOp {
  let layout = Layout.plain
  let scratchByteCount = 0
  let implementation = "reference"
  private let description: BatchNormDescription
  private let batch: Int
  private let channels: Int
  private let plane: Int

  init(_ description: BatchNormDescription) {
    self.description = description
    batch = description.shape[0]
    channels = description.shape[1]
    plane = description.shape.count(2...)
  }

  func forward(
    bottom: UnsafeRawPointer, mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>,
    top: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    let (bottom, top) = (bottom.floats, top.floats)
    for c in 0..<channels {
      if !description.usesGlobalStatistics {
        let center = average(c) { Double(bottom[$0]) }
        let spread = average(c) { (Double(bottom[$0]) - center) * (Double(bottom[$0]) - center) }
        mean[c] = Float(center)
        variance[c] = Float(spread)
      }
      let scale = inverseDeviation(variance[c])
      forEach(c) { top[$0] = (bottom[$0] - mean[c]) * scale }
    }
  }

  func backward(
    bottom: UnsafeRawPointer, mean: UnsafePointer<Float>, variance: UnsafePointer<Float>,
    topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    let (bottom, from, to) = (bottom.floats, topGradient.floats, bottomGradient.floats)
    for c in 0..<channels {
      let scale = inverseDeviation(variance[c])
      if description.usesGlobalStatistics {
        forEach(c) { to[$0] = from[$0] * scale }
      } else {
        let shift = Float(average(c) { Double(from[$0]) })
        let tilt = Float(average(c) { Double(from[$0]) * Double((bottom[$0] - mean[c]) * scale) })
        forEach(c) { to[$0] = (from[$0] - shift - (bottom[$0] - mean[c]) * scale * tilt) * scale }
      }
    }
  }

  private func inverseDeviation(_ variance: Float) -> Float {
    Float(1 / (Double(variance) + Double(description.epsilon)).squareRoot())
  }

  /// Calls `body` with the place of every element of a channel.
  @inline(__always)
  private func forEach(_ channel: Int, _ body: (_ index: Int) -> Void) {
    for n in 0..<batch {
      let start = (n * channels + channel) * plane
      for i in start..<start + plane { body(i) }
    }
  }

  /// E of the formula; 0 over no elements.
  @inline(__always)
  private func average(_ channel: Int, _ value: (_ index: Int) -> Double) -> Double {
    var total = 0.0
    forEach(channel) { total += value($0) }
    return total / Double(max(1, batch * plane))
  }
}
