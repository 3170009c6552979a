import Compute
import Tensors

/// With E the mean over batch and positions of one channel:
/// mean = E[bottom], variance = E[(bottom - mean)^2], z = (bottom - mean) / sqrt(variance + epsilon),
/// top = z scale + shift, or 0 where that is less and it rectifies.
///
/// With g the top gradient, 0 where it was rectified: bottom gradient = (g - E[g] - z E[g z]) scale /
/// sqrt(variance + epsilon); with given statistics, which are constants, = g scale / sqrt(variance + epsilon).
/// Source: Ioffe and Szegedy, Batch Normalization, ICML 2015, section 3.
final class ReferenceBatchNorm: BatchNormOp {
  let layout = Layout.plain
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
    scale: Parameter?, shift: Parameter?, top: UnsafeMutableRawPointer
  ) {
    let (bottom, top) = (bottom.floats, top.floats)
    for c in 0..<channels {
      if description.statistics == .batch {
        let center = average(c) { Double(bottom[$0]) }
        let spread = average(c) { (Double(bottom[$0]) - center) * (Double(bottom[$0]) - center) }
        mean[c] = Float(center)
        variance[c] = Float(spread)
      }
      let line = line(c, mean, variance, scale, shift)
      forEach(c) {
        let value = line.value(bottom[$0])
        top[$0] = description.rectifies && value < 0 ? 0 : value
      }
    }
  }

  /// What a channel goes through before the rectifier.
  private struct Line {
    let mean: Float
    let inverseDeviation: Float
    let scale: Float
    let shift: Float

    func normalised(_ x: Float) -> Float { (x - mean) * inverseDeviation }
    func value(_ x: Float) -> Float { normalised(x) * scale + shift }
  }

  private func line(
    _ c: Int, _ mean: UnsafePointer<Float>, _ variance: UnsafePointer<Float>, _ scale: Parameter?, _ shift: Parameter?
  ) -> Line {
    let isNormalised = description.statistics != .none
    return Line(
      mean: isNormalised ? mean[c] : 0, inverseDeviation: isNormalised ? inverseDeviation(variance[c]) : 1,
      scale: scale?.values[c] ?? 1, shift: shift?.values[c] ?? 0)
  }

  func backward(
    bottom: UnsafeRawPointer, mean: UnsafePointer<Float>, variance: UnsafePointer<Float>, scale: Parameter?,
    shift: Parameter?, topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer?
  ) {
    let (bottom, from) = (bottom.floats, topGradient.floats)
    func add(_ parameter: Parameter?, _ c: Int, _ slope: Double, overwrite: Bool) {
      guard let parameter, description.learns, parameter.isLearned else { return }
      parameter.gradients[c] = (overwrite ? 0 : parameter.gradients[c]) + Float(slope)
    }
    let isFirst = (scale: scale?.gradientIsClear ?? true, shift: shift?.gradientIsClear ?? true)
    for c in 0..<channels {
      let line = line(c, mean, variance, scale, shift)
      func passed(_ i: Int) -> Float { description.rectifies && !(line.value(bottom[i]) > 0) ? 0 : from[i] }
      let offset = average(c) { Double(passed($0)) }
      let tilt = average(c) { Double(passed($0)) * Double(line.normalised(bottom[$0])) }
      add(shift, c, offset * Double(batch * plane), overwrite: isFirst.shift)
      add(scale, c, tilt * Double(batch * plane), overwrite: isFirst.scale)
      guard let to = bottomGradient?.floats else { continue }
      let factor = line.inverseDeviation * line.scale
      if description.statistics == .batch {
        forEach(c) { to[$0] = (passed($0) - Float(offset) - line.normalised(bottom[$0]) * Float(tilt)) * factor }
      } else {
        forEach(c) { to[$0] = passed($0) * factor }
      }
    }
    for parameter in [scale, shift] where description.learns && parameter?.isLearned == true {
      parameter?.accumulate { _, _ in }
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
