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

  init(_ description: ConvolutionDescription) {
    self.description = description
    meetings = ConvolutionMeetings(description)
  }

  func forward(
    bottom: UnsafeRawPointer, weights: Parameter, bias: Parameter?, top: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    let plane = description.topExtents.reduce(1, *)
    for n in 0..<description.batch {
      for k in 0..<description.topChannels {
        let first = top.floats + (n * description.topChannels + k) * plane
        first.update(repeating: bias?.values[k] ?? 0, count: plane)
      }
    }
    if description.isTransposed {
      addToFine(top.floats, coarse: bottom.floats, weights: weights.values)
    } else {
      addToCoarse(top.floats, fine: bottom.floats, weights: weights.values)
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
