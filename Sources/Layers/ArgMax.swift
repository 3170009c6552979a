import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Where the `top_k` largest values are, largest first. It takes no gradient.
///
/// Without `axis`, over all values of a record: top N x 1 x top_k (x 1, to the bottom's number of axes), or with
/// `out_max_val` N x 2 x top_k, indices before values. With `axis`, along that axis: the bottom's shape with top_k
/// there, indices or, with `out_max_val`, values. Of equal values the later comes first, as in Caffe; NaN comes last.
package struct ArgMax: Layer {
  package static let type = "ArgMax"
  package static let parameterFields: [String]? = ["argmax_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: ArgMaxParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.argmaxParam
    guard param.topK >= 1 else { throw fields.fault("top_k must be at least 1", at: "argmax_param.top_k") }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  /// The bottom as outer x candidates x inner.
  private func extents(_ bottom: Shape) throws -> (outer: Int, candidates: Int, inner: Int) {
    if param.hasAxis {
      let axis = try bottom.canonicalAxis(Int(param.axis))
      return (bottom.count(..<axis), bottom[axis], bottom.count((axis + 1)...))
    }
    guard bottom.rank >= 1 else { throw fields.fault(.badShape, "needs a bottom with at least one axis") }
    return (bottom[0], bottom.count(1...), 1)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bottom = bottoms[0]
    let candidates = try extents(bottom).candidates
    let count = Int(param.topK)
    guard count <= candidates else {
      throw fields.fault(
        .badShape, "top_k \(count) is more than the \(candidates) values to choose from, of the bottom \(bottom)",
        at: "argmax_param.top_k")
    }
    var top: Shape
    if param.hasAxis {
      top = bottom
      top[try bottom.canonicalAxis(Int(param.axis))] = count
    } else {
      top = Shape([Int](repeating: 1, count: max(3, bottom.rank)))
      (top[0], top[1], top[2]) = (bottom[0], param.outMaxVal ? 2 : 1, count)
    }
    return LayerShapes(tops: [top])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == 0 && !(param.hasAxis && (try? bottoms[0].canonicalAxis(Int(param.axis))) == 0) ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let (outer, candidates, inner) = try extents(binding.bottomShapes[0])
    return Run(
      binding.engine, binding.bottom(0), binding.top(0), outer: outer, candidates: candidates, inner: inner,
      count: Int(param.topK),
      form: !param.outMaxVal ? .indices : param.hasAxis ? .values : .indicesThenValues)
  }

  private final class Run: LayerRun {
    enum Form { case indices, values, indicesThenValues }

    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let outer: Int
    private let candidates: Int
    private let inner: Int
    private let count: Int
    private let form: Form

    init(
      _ engine: any Engine, _ bottom: Blob, _ top: Blob, outer: Int, candidates: Int, inner: Int, count: Int,
      form: Form
    ) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.outer = outer
      self.candidates = candidates
      self.inner = inner
      self.count = count
      self.form = form
    }

    func forward() {
      let y = top.values
      engine.parallel(outer * inner, grain: max(1, 4096 / max(1, candidates * count))) { from, to in
        for position in from..<to {
          let (o, i) = (position / inner, position % inner)
          let x = bottom.values + o * candidates * inner + i
          var winner = -1
          for k in 0..<count {
            winner = next(after: winner, x)
            let (index, value) = (Float(winner), x[winner * inner])
            switch form {
            case .indices: y[(o * count + k) * inner + i] = index
            case .values: y[(o * count + k) * inner + i] = value
            case .indicesThenValues:
              y[2 * o * count + k] = index
              y[(2 * o + 1) * count + k] = value
            }
          }
        }
      }
    }

    /// The first in order of those behind `previous`; of all for -1.
    private func next(after previous: Int, _ x: UnsafePointer<Float>) -> Int {
      var best = -1
      for c in 0..<candidates {
        if previous >= 0, c == previous || !isBefore(previous, c, x) { continue }
        if best < 0 || isBefore(c, best, x) { best = c }
      }
      return best
    }

    @inline(__always)
    private func isBefore(_ a: Int, _ b: Int, _ x: UnsafePointer<Float>) -> Bool {
      let (first, second) = (x[a * inner], x[b * inner])
      if first.isNaN || second.isNaN { return first.isNaN == second.isNaN ? a > b : second.isNaN }
      return first > second || (first == second && a > b)
    }
  }

  package static let examples: [LayerExample] = [
    example("of a record", "", [3, 7]),
    example("two of a record, with values", "top_k: 2 out_max_val: true", [3, 7]),
    example("along an axis", "axis: 1", [2, 5, 3, 3]),
    example("two values along an axis", "axis: 1 top_k: 2 out_max_val: true", [2, 5, 3]),
  ]

  private static func example(_ name: String, _ param: String, _ shape: Shape) -> LayerExample {
    LayerExample(
      name, inputs: [.distinct(shape)],
      #"layer { name: "a" type: "ArgMax" bottom: "in0" top: "a" argmax_param { \#(param) } }"#, checksGradient: false)
  }
}
