import CaffeSchema
import Compute
import Nets
import Tensors

/// BatchNorm with the options of forks that its op does not know: a scale and bias of its own, and `eps` added to the
/// deviation. Plain layouts.
final class ScaledBatchNorm: LayerRun {
  private let engine: any Engine
  private let bottom: Blob
  private let top: Blob
  /// Mean, variance and weight.
  private let sums: [Parameter]
  private let scale: Parameter?
  private let bias: Parameter?
  private let learns: [Bool]
  private let param: BatchNormParameter
  private let usesGlobalStatistics: Bool
  private let channels: Int
  private let batch: Int
  /// The positions of a channel.
  private let inner: Int
  /// Mean, 1 / deviation and its derivative by the variance, C each.
  private let statistics: Region

  init(_ binding: LayerBinding, _ param: BatchNormParameter, usesGlobalStatistics: Bool) {
    engine = binding.engine
    bottom = binding.bottom(0)
    top = binding.top(0)
    sums = Array(binding.parameters.prefix(3))
    scale = param.scaleBias ? binding.parameters[3] : nil
    bias = param.scaleBias ? binding.parameters[4] : nil
    learns = binding.learns
    self.param = param
    self.usesGlobalStatistics = usesGlobalStatistics
    channels = sums[0].count
    batch = bottom.shape.extent(0)
    inner = bottom.shape.rank > 2 ? bottom.shape.count(2...) : 1
    statistics = binding.workspace(3 * channels * MemoryLayout<Float>.stride)
    binding.backwardReads(bottoms: [bottom])
  }

  private var mean: UnsafeMutablePointer<Float> { statistics.pointer.assumingMemoryBound(to: Float.self) }
  private var inverse: UnsafeMutablePointer<Float> { mean + channels }
  private var slope: UnsafeMutablePointer<Float> { inverse + channels }
  private var grain: Int { max(1, 4096 / max(1, batch * inner)) }

  /// Calls `body` with each channel and the start of each of its rows of `inner` values.
  private func forEachChannel(_ body: (_ channel: Int, _ rows: StrideTo<Int>) -> Void) {
    engine.parallel(channels, grain: grain) { [channels, inner, bottom] from, to in
      for c in from..<to { body(c, stride(from: c * inner, to: bottom.count, by: max(1, channels * inner))) }
    }
  }

  func forward() {
    let (x, y, inner) = (bottom.values, top.values, inner)
    let weight = sums[2].values[0]
    forEachChannel { c, rows in
      let count = Double(max(1, batch * inner))
      var (m, variance) = (0.0, 0.0)
      if usesGlobalStatistics {
        m = weight == 0 ? 0 : Double(sums[0].values[c] / weight)
        variance = weight == 0 ? 0 : Double(sums[1].values[c] / weight)
      } else {
        for row in rows { for i in row..<(row + inner) { m += Double(x[i]) } }
        m /= count
        for row in rows { for i in row..<(row + inner) { variance += (Double(x[i]) - m) * (Double(x[i]) - m) } }
        variance /= count
        keep(c, Float(m), Float(variance))
      }
      mean[c] = Float(m)
      setInverse(c, Float(variance))
      let (factor, shift) = (inverse[c] * (scale?.values[c] ?? 1), bias?.values[c] ?? 0)
      for row in rows { for i in row..<(row + inner) { y[i] = (x[i] - mean[c]) * factor + shift } }
    }
    guard !usesGlobalStatistics else { return }
    sums[2].values[0] = param.movingAverageFraction * weight + 1
    for parameter in sums { parameter.touch() }
  }

  private func setInverse(_ c: Int, _ variance: Float) {
    let deviation = variance.squareRoot()
    if param.addEpsBeforeSqrt {
      inverse[c] = 1 / (variance + param.eps).squareRoot()
      slope[c] = -0.5 * inverse[c] * inverse[c] * inverse[c]
    } else {
      inverse[c] = 1 / (deviation + param.eps)
      slope[c] = deviation == 0 ? 0 : -0.5 * inverse[c] * inverse[c] / deviation
    }
  }

  /// Adds the batch's statistics to the running ones, the variance with Bessel's correction.
  private func keep(_ c: Int, _ mean: Float, _ variance: Float) {
    let count = batch * inner
    let correction = count > 1 ? Float(count) / Float(count - 1) : 1
    let fraction = param.movingAverageFraction
    sums[0].values[c] = fraction * sums[0].values[c] + mean
    sums[1].values[c] = fraction * sums[1].values[c] + correction * variance
  }

  func backward() {
    let (x, dy, inner) = (bottom.values, top.gradients, inner)
    if let scale, learns[3] {
      scale.accumulate { gradients, isFirst in
        forEachChannel { c, rows in
          var sum = 0.0
          for row in rows { for i in row..<(row + inner) { sum += Double(dy[i]) * Double(x[i] - mean[c]) } }
          gradients[c] = Float(sum) * inverse[c] + (isFirst ? 0 : gradients[c])
        }
      }
    }
    if let bias, learns[4] {
      bias.accumulate { gradients, isFirst in
        forEachChannel { c, rows in
          var sum = 0.0
          for row in rows { for i in row..<(row + inner) { sum += Double(dy[i]) } }
          gradients[c] = Float(sum) + (isFirst ? 0 : gradients[c])
        }
      }
    }
    guard bottom.hasGradient else { return }
    let dx = bottom.gradients
    forEachChannel { c, rows in
      let factor = scale?.values[c] ?? 1
      var (sum, product) = (0.0, 0.0)
      if !usesGlobalStatistics {
        for row in rows {
          for i in row..<(row + inner) {
            sum += Double(dy[i])
            product += Double(dy[i]) * Double(x[i] - mean[c])
          }
        }
        sum /= Double(max(1, batch * inner))
        product *= 2 / Double(max(1, batch * inner))
      }
      let (shift, tilt) = (Float(sum), Float(product) * slope[c])
      for row in rows {
        for i in row..<(row + inner) { dx[i] = factor * (inverse[c] * (dy[i] - shift) + tilt * (x[i] - mean[c])) }
      }
    }
  }
}
