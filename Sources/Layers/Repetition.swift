import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// How a small blob is repeated over the axes of a larger one that it does not have: a bias, a scale, a slope for each
/// channel. The large blob is outer x (the small one) x inner.
struct Repetition: Sendable {
  let outer: Int
  /// Of the small blob.
  let shape: Shape
  let inner: Int

  var count: Int { shape.count }

  init(outer: Int, shape: Shape, inner: Int) {
    self.outer = outer
    self.shape = shape
    self.inner = inner
  }

  /// The rule of Bias and Scale: the second bottom's shape counts from `axis` on; without one, the parameter covers
  /// `numAxes` axes of the first bottom from there, or all of the rest for -1.
  ///
  /// - Parameter noun: `scale` or `bias`, for messages and the place of `num_axes`.
  init(_ noun: String, _ fields: LayerFields, bottoms: [Shape], axis: Int, numAxes: Int) throws {
    let bottom = bottoms[0]
    if bottoms.count > 1 {
      let small = bottoms[1]
      let axis = small.rank == 0 ? 0 : try bottom.canonicalAxis(axis)
      guard axis + small.rank <= bottom.rank, Array(bottom.dims[axis..<(axis + small.rank)]) == small.dims else {
        throw fields.fault(.badShape, "the \(noun) \(small) does not fit the bottom \(bottom) from axis \(axis) on")
      }
      self.init(outer: bottom.count(..<axis), shape: small, inner: bottom.count((axis + small.rank)...))
      return
    }
    guard numAxes >= -1 else {
      throw fields.fault("num_axes must be -1 (all) or more; it is \(numAxes)", at: "\(noun)_param.num_axes")
    }
    let axis = numAxes == 0 ? 0 : try bottom.canonicalAxis(axis)
    let end = numAxes == -1 ? bottom.rank : axis + numAxes
    guard end <= bottom.rank else {
      throw fields.fault(
        .badShape, "the \(noun)'s \(numAxes) axes from axis \(axis) on reach beyond the bottom \(bottom)",
        at: "\(noun)_param.num_axes")
    }
    self.init(outer: bottom.count(..<axis), shape: Shape(Array(bottom.dims[axis..<end])), inner: bottom.count(end...))
  }

  /// The number of rows of `inner` values that are worth a thread.
  var rowGrain: Int { max(1, 4096 / max(1, inner)) }

  /// Sums `term`, a function of the index in the large blob, over all but the small blob's axes.
  @inline(__always)
  func addSums(
    _ engine: any Engine, _ sums: UnsafeMutablePointer<Float>, overwrite: Bool, _ term: (Int) -> Double
  ) {
    engine.parallel(count, grain: max(1, 4096 / max(1, inner * outer))) { from, to in
      let stride = count
      for c in from..<to {
        var sum = 0.0
        for o in 0..<outer {
          let start = (o * stride + c) * inner
          for i in start..<(start + inner) { sum += term(i) }
        }
        sums[c] = overwrite ? Float(sum) : sums[c] + Float(sum)
      }
    }
  }
}
