import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// The distance of each record to each row of the weights: sum over k of (x - w)^2, or of |x - w| with `distance_type:
/// "L1"` (NormFace: Wang, Xiang, Cheng, Yuille, ACM MM 2017; happynear's fork of Caffe).
///
/// The axes from `axis` on are joined to K values. Top M x num_output. Parameters: weights num_output x K and, with
/// `bias_term`, a bias num_output that is added. `normalize` sets each row to length 1 in every pass; its gradient stays
/// that of the distance.
package struct InnerDistance: Layer {
  package static let type = "InnerDistance"
  package static let parameterFields: [String]? = ["inner_distance_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: InnerDistanceParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.innerDistanceParam
    let place = "inner_distance_param."
    guard param.numOutput > 0 else { throw fields.fault("num_output must be at least 1", at: place + "num_output") }
    guard ["L1", "L2"].contains(param.distanceType) else {
      throw fields.fault("distance_type must be L1 or L2", at: place + "distance_type")
    }
    try fields.refuse(param.transpose, place + "transpose", "weights are num_output x K")
    try fields.refuse(param.updateCenterOnly, place + "update_center_only", "give propagate_down: false")
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let axis = try bottoms[0].canonicalAxis(Int(param.axis))
    let outputs = Int(param.numOutput)
    var parameters = [
      ParameterDefinition(name: "weights", shape: [outputs, bottoms[0].count(axis...)], filler: param.weightFiller)
    ]
    if param.biasTerm { parameters.append(.init(name: "bias", shape: [outputs], filler: param.biasFiller)) }
    return LayerShapes(tops: [Shape(Array(bottoms[0].dims[..<axis]) + [outputs])], parameters: parameters)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? bottoms[0].canonicalAxis(Int(param.axis))).map { axis < $0 } == true ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    binding.backwardReads(bottoms: [bottom])
    return Run(binding, param, bottom, binding.top(0))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let weights: Parameter
    private let bias: Parameter?
    private let learns: [Bool]
    private let isSquare: Bool
    private let normalizes: Bool
    private let rows: Int
    private let outputs: Int
    private let width: Int

    init(_ binding: LayerBinding, _ param: InnerDistanceParameter, _ bottom: Blob, _ top: Blob) {
      engine = binding.engine
      self.bottom = bottom
      self.top = top
      weights = binding.parameters[0]
      bias = param.biasTerm ? binding.parameters[1] : nil
      learns = binding.learns
      isSquare = param.distanceType == "L2"
      normalizes = param.normalize
      (outputs, width) = (weights.shape[0], weights.shape[1])
      rows = top.count / outputs
    }

    func forward() {
      if normalizes { normalizeRows(of: weights, false, engine) }
      engine.parallel(rows, grain: grain) { [weights, bias, bottom, top, outputs, width, isSquare] from, to in
        for row in from..<to {
          let x = bottom.values + row * width
          for output in 0..<outputs {
            let w = weights.values + output * width
            var sum: Float = 0
            if isSquare {
              for i in 0..<width { sum += (x[i] - w[i]) * (x[i] - w[i]) }
            } else {
              for i in 0..<width { sum += abs(x[i] - w[i]) }
            }
            top.values[row * outputs + output] = sum + (bias?.values[output] ?? 0)
          }
        }
      }
    }

    private var grain: Int { max(1, 4096 / max(1, outputs * width)) }

    /// The derivative of one term by the difference.
    @inline(__always)
    private static func slope(_ difference: Float, _ isSquare: Bool) -> Float {
      isSquare ? 2 * difference : difference > 0 ? 1 : difference < 0 ? -1 : difference
    }

    func backward() {
      let dy = top.gradients
      if learns[0] {
        weights.accumulate { sums, isFirst in
          engine.parallel(outputs, grain: grain) { [weights, bottom, rows, outputs, width, isSquare] from, to in
            for output in from..<to {
              let (w, sum) = (weights.values + output * width, sums + output * width)
              if isFirst { sum.update(repeating: 0, count: width) }
              for row in 0..<rows {
                let (x, factor) = (bottom.values + row * width, dy[row * outputs + output])
                for i in 0..<width { sum[i] += factor * Run.slope(w[i] - x[i], isSquare) }
              }
            }
          }
        }
      }
      if let bias, learns[1] {
        bias.accumulate { sums, isFirst in
          if isFirst { sums.update(repeating: 0, count: outputs) }
          for row in 0..<rows { for output in 0..<outputs { sums[output] += dy[row * outputs + output] } }
        }
      }
      guard bottom.hasGradient else { return }
      engine.parallel(rows, grain: grain) { [weights, bottom, outputs, width, isSquare] from, to in
        for row in from..<to {
          let (x, dx) = (bottom.values + row * width, bottom.gradients + row * width)
          dx.update(repeating: 0, count: width)
          for output in 0..<outputs {
            let (w, factor) = (weights.values + output * width, dy[row * outputs + output])
            for i in 0..<width { dx[i] += factor * Run.slope(x[i] - w[i], isSquare) }
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("L2", [.normal([4, 2, 3])], ""), example("of the last axis", [.normal([4, 2, 3])], "axis: 2"),
    // No two values come together, where the magnitude has its kink.
    example("L1 without bias", [.uniform([4, 6], 4...5)], #"distance_type: "L1" bias_term: false"#),
    example("rows of length 1", [.normal([4, 6])], "normalize: true", checksGradient: false),
  ]

  private static func example(
    _ name: String, _ inputs: [LayerExample.Input], _ param: String, checksGradient: Bool = true
  ) -> LayerExample {
    LayerExample(
      name, inputs: inputs,
      """
      layer { name: "d" type: "InnerDistance" bottom: "in0" top: "d" inner_distance_param { num_output: 3 \(param)
        weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 } } }
      """, checksGradient: checksGradient)
  }
}
