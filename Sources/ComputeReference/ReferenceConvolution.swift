import Compute
import Tensors

/// Convolution, as the format means it (no flipping of the kernel):
/// top[n, k, o] = bias[k] + sum over c and t of weights[k, c, t] bottom[n, c, i], where along each axis
/// i = o stride - padBefore + t dilation and elements outside the bottom count as 0.
///
/// Deconvolution is its transpose: each bottom[n, c, o] adds weights[c, k, t] bottom[n, c, o] to top[n, k, i].
///
/// Both speak of one relation between a coarse blob (index o, one element for each window: a convolution's top, a
/// deconvolution's bottom) and a fine one (index i, the elements that windows look at), and weights lie as
/// coarse channel x fine channel of the group x tap in both. So three sums serve all six passes:
/// coarse from fine, fine from coarse, weights from both.
final class ReferenceConvolution: ConvolutionOp {
  let bottomLayout = Layout.plain
  let topLayout = Layout.plain
  let scratchByteCount = 0
  let implementation = "reference"
  private let description: ConvolutionDescription
  private let meetings: ConvolutionMeetings
  /// The forward sums before they are rounded.
  private let sums: Memory

  init(_ description: ConvolutionDescription) {
    self.description = description
    meetings = ConvolutionMeetings(description)
    sums = Memory(byteCount: description.topShape.count * MemoryLayout<Double>.stride)
  }

  func forward(
    bottom: UnsafeRawPointer, weights: Parameter, bias: Parameter?, addend: UnsafeRawPointer?,
    top: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    let count = description.topShape.count
    let sums = self.sums.base.assumingMemoryBound(to: Double.self)
    sums.update(repeating: 0, count: count)
    addTop(sums, bottom: bottom.floats, weights: weights.values)
    let plane = max(1, description.topExtents.reduce(1, *))
    for i in 0..<count {
      // The bias comes last, as it does where a matrix product made the sum.
      let sum = Float(sums[i]) + (bias?.values[i / plane % description.topChannels] ?? 0) + (addend?.floats[i] ?? 0)
      top.floats[i] = description.rectifies && sum < 0 ? 0 : sum
    }
  }

  /// The forward sums, in double precision: two windows of a pooling layer behind a convolution often differ by less
  /// than the rounding of float32, and which of them wins decides where a gradient goes.
  private func addTop(
    _ sums: UnsafeMutablePointer<Double>, bottom: UnsafePointer<Float>, weights: UnsafePointer<Float>
  ) {
    let isTransposed = description.isTransposed
    meetings.forEach { weight, row in
      let value = Double(weights[weight])
      row.forEach { coarseStart, fineStart, count, step in
        let to = sums + (isTransposed ? fineStart : coarseStart)
        let from = bottom + (isTransposed ? coarseStart : fineStart)
        if step == 1 {
          for x in 0..<count { to[x] += value * Double(from[x]) }
        } else {
          let (toStep, fromStep) = isTransposed ? (step, 1) : (1, step)
          for x in 0..<count { to[x * toStep] += value * Double(from[x * fromStep]) }
        }
      }
    }
  }

  func backwardData(
    topGradient: UnsafeRawPointer, weights: Parameter, bottomGradient: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    bottomGradient.floats.update(repeating: 0, count: description.bottomShape.count)
    if description.isTransposed {
      addToCoarse(bottomGradient.floats, fine: topGradient.floats, weights: weights.values)
    } else {
      addToFine(bottomGradient.floats, coarse: topGradient.floats, weights: weights.values)
    }
  }

  func backwardParameters(
    bottom: UnsafeRawPointer, topGradient: UnsafeRawPointer, weights: Parameter, bias: Parameter?,
    scratch: UnsafeMutableRawPointer
  ) {
    if weights.isLearned {
      weights.accumulate { gradients, overwrite in
        if overwrite { gradients.update(repeating: 0, count: weights.count) }
        if description.isTransposed {
          addToWeights(gradients, coarse: bottom.floats, fine: topGradient.floats)
        } else {
          addToWeights(gradients, coarse: topGradient.floats, fine: bottom.floats)
        }
      }
    }
    if let bias, bias.isLearned {
      bias.accumulate { gradients, overwrite in
        if overwrite { gradients.update(repeating: 0, count: bias.count) }
        addToBias(gradients, topGradient: topGradient.floats)
      }
    }
  }

  /// coarse[n, k, o] += weights[k, c, t] fine[n, c, i]
  private func addToCoarse(
    _ coarse: UnsafeMutablePointer<Float>, fine: UnsafePointer<Float>, weights: UnsafePointer<Float>
  ) {
    meetings.forEach { weight, row in
      let value = weights[weight]
      row.forEach { coarseStart, fineStart, count, step in
        let to = coarse + coarseStart
        let from = fine + fineStart
        if step == 1 {
          for x in 0..<count { to[x] += value * from[x] }
        } else {
          for x in 0..<count { to[x] += value * from[x * step] }
        }
      }
    }
  }

  /// fine[n, c, i] += weights[k, c, t] coarse[n, k, o]
  private func addToFine(
    _ fine: UnsafeMutablePointer<Float>, coarse: UnsafePointer<Float>, weights: UnsafePointer<Float>
  ) {
    meetings.forEach { weight, row in
      let value = weights[weight]
      row.forEach { coarseStart, fineStart, count, step in
        let to = fine + fineStart
        let from = coarse + coarseStart
        if step == 1 {
          for x in 0..<count { to[x] += value * from[x] }
        } else {
          for x in 0..<count { to[x * step] += value * from[x] }
        }
      }
    }
  }

  /// weights[k, c, t] += coarse[n, k, o] fine[n, c, i]; eight neighbours at a time are added up apart from each other.
  private func addToWeights(
    _ weights: UnsafeMutablePointer<Float>, coarse: UnsafePointer<Float>, fine: UnsafePointer<Float>
  ) {
    meetings.forEach { weight, row in
      var eight = SIMD8<Float>.zero
      var rest: Float = 0
      row.forEach { coarseStart, fineStart, count, step in
        let a = coarse + coarseStart
        let b = fine + fineStart
        var x = 0
        while step == 1, x + 8 <= count {
          eight += vector(a + x) * vector(b + x)
          x += 8
        }
        while x < count {
          rest += a[x] * b[x * step]
          x += 1
        }
      }
      weights[weight] += eight.sum() + rest
    }
  }

  private func vector(_ first: UnsafePointer<Float>) -> SIMD8<Float> {
    UnsafeRawPointer(first).loadUnaligned(as: SIMD8<Float>.self)
  }

  /// bias gradient[k] += sum over n and o of top gradient[n, k, o]
  private func addToBias(_ gradients: UnsafeMutablePointer<Float>, topGradient: UnsafePointer<Float>) {
    let plane = description.topExtents.reduce(1, *)
    for k in 0..<description.topChannels {
      var total = 0.0
      for n in 0..<description.batch {
        let first = topGradient + (n * description.topChannels + k) * plane
        for i in 0..<plane { total += Double(first[i]) }
      }
      gradients[k] += Float(total)
    }
  }
}
