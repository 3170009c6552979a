import CaffeSchema
import Compute
import Nets
import Tensors

/// `coeff` times the sum, sum of magnitudes (ASUM), sum of squares (SUMSQ) or mean (MEAN) over all axes from `axis` on.
///
/// Top: the bottom's axes before `axis`; one value for axis 0.
package struct Reduction: Layer {
  package static let type = "Reduction"
  package static let parameterFields: [String]? = ["reduction_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let param: ReductionParameter

  package init(_ fields: LayerFields) throws { param = fields.parameter.reductionParam }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let axis = try bottoms[0].canonicalAxis(Int(param.axis))
    return LayerShapes(tops: [Shape(Array(bottoms[0].dims[..<axis]))])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? bottoms[0].canonicalAxis(Int(param.axis))).map { axis < $0 } == true ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    let top = binding.top(0)
    binding.backwardReads(bottoms: param.operation == .asum || param.operation == .sumsq ? [bottom] : [])
    let length = bottom.count / max(1, top.count)
    let factor = param.operation == .mean ? param.coeff / Float(max(1, length)) : param.coeff
    return Run(binding.engine, bottom, top, param.operation, length: length, factor: factor)
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let operation: ReductionParameter.ReductionOp
    /// Values that are added to one.
    private let length: Int
    private let factor: Float

    init(
      _ engine: any Engine, _ bottom: Blob, _ top: Blob, _ operation: ReductionParameter.ReductionOp, length: Int,
      factor: Float
    ) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.operation = operation
      self.length = length
      self.factor = factor
    }

    func forward() {
      let vectors = engine.vectors
      for row in 0..<top.count {
        let x = bottom.values + row * length
        let sum =
          switch operation {
          case .sum, .mean: vectors.sum(length, x)
          case .asum: vectors.absoluteSum(length, x)
          case .sumsq: vectors.dot(length, x, x)
          }
        top.values[row] = factor * Float(sum)
      }
    }

    func backward() {
      let dy = top.gradients
      engine.parallel(top.count, grain: max(1, 4096 / max(1, length))) { [bottom, length, factor, operation] from, to in
        for row in from..<to {
          let x = bottom.values + row * length
          let dx = bottom.gradients + row * length
          let slope = factor * dy[row]
          switch operation {
          case .sum, .mean: dx.update(repeating: slope, count: length)
          case .asum: for i in 0..<length { dx[i] = x[i] > 0 ? slope : x[i] < 0 ? -slope : 0 }
          case .sumsq: for i in 0..<length { dx[i] = 2 * slope * x[i] }
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("sum of all", "", .normal([2, 3, 4])),
    example("sum along axis 1", "operation: SUM axis: 1 coeff: 0.5", .normal([2, 3, 4])),
    example("magnitudes along the last axis", "operation: ASUM axis: -1", .normalAway([2, 3, 4], from: 0)),
    example("squares", "operation: SUMSQ axis: 1 coeff: 2", .normal([2, 3, 4])),
    example("mean", "operation: MEAN axis: 1", .normal([3, 5])),
  ]

  private static func example(_ name: String, _ param: String, _ input: LayerExample.Input) -> LayerExample {
    LayerExample(
      name, inputs: [input],
      #"layer { name: "r" type: "Reduction" bottom: "in0" top: "r" reduction_param { \#(param) } }"#)
  }
}
