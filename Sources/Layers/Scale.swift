import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// top = bottom * scale (+ bias), the scale repeated over the axes that it does not have.
///
/// The scale covers `num_axes` axes of the bottom from `axis` on (-1: all to the end) and is a parameter, or the second
/// bottom, whose shape then says how many axes it covers. `bias_term` adds a bias of the scale's shape.
package struct Scale: Layer {
  package static let type = "Scale"
  package static let bottomCount = 1...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: ScaleParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.scaleParam
    guard param.numAxes >= -1 else {
      throw fields.fault("num_axes must be -1 (all) or more; it is \(param.numAxes)", at: "scale_param.num_axes")
    }
  }

  private var isLearned: Bool { fields.parameter.bottom.count == 1 }

  /// The bottom as outer x scale x inner, and the scale's shape.
  private func extents(_ bottoms: [Shape]) throws -> (outer: Int, scale: Shape, inner: Int) {
    let bottom = bottoms[0]
    let scale: Shape
    var axis = 0
    if isLearned {
      axis = param.numAxes == 0 ? 0 : try bottom.canonicalAxis(Int(param.axis))
      let end = param.numAxes == -1 ? bottom.rank : axis + Int(param.numAxes)
      guard end <= bottom.rank else {
        throw fields.fault(
          .badShape, "the scale's \(param.numAxes) axes from axis \(axis) on reach beyond the bottom \(bottom)",
          at: "scale_param.num_axes")
      }
      scale = Shape(Array(bottom.dims[axis..<end]))
    } else {
      scale = bottoms[1]
      axis = scale.rank == 0 ? 0 : try bottom.canonicalAxis(Int(param.axis))
      guard axis + scale.rank <= bottom.rank, Array(bottom.dims[axis..<(axis + scale.rank)]) == scale.dims else {
        throw fields.fault(.badShape, "the scale \(scale) does not fit the bottom \(bottom) from axis \(axis) on")
      }
    }
    return (bottom.count(..<axis), scale, bottom.count((axis + scale.rank)...))
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let scale = try extents(bottoms).scale
    var one = FillerParameter()
    one.value = 1
    var parameters: [ParameterDefinition] = []
    if isLearned {
      parameters.append(.init(name: "scale", shape: scale, filler: param.hasFiller ? param.filler : one))
    }
    if param.biasTerm { parameters.append(.init(name: "bias", shape: scale, filler: param.biasFiller)) }
    return LayerShapes(tops: [bottoms[0]], parameters: parameters)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let (outer, scale, inner) = try extents(binding.bottomShapes)
    let bottom = binding.bottom(0)
    let factor = isLearned ? nil : binding.bottom(1)
    let top = binding.top(0)
    let learnsScale = isLearned && binding.runsBackward && binding.learns[0]
    binding.backwardReads(
      bottoms: [factor, learnsScale || factor?.hasGradient == true ? bottom : nil].compactMap { $0 })
    binding.allowInPlace(bottom, top)
    return Run(
      binding.engine, bottom, factor, top, scale: isLearned ? binding.parameters[0] : nil,
      bias: param.biasTerm ? binding.parameters.last : nil, outer: outer, count: scale.count, inner: inner,
      learns: binding.learns)
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let factor: Blob?
    private let top: Blob
    private let scale: Parameter?
    private let bias: Parameter?
    private let outer: Int
    private let count: Int
    private let inner: Int
    private let learns: [Bool]

    init(
      _ engine: any Engine, _ bottom: Blob, _ factor: Blob?, _ top: Blob, scale: Parameter?, bias: Parameter?,
      outer: Int, count: Int, inner: Int, learns: [Bool]
    ) {
      self.engine = engine
      self.bottom = bottom
      self.factor = factor
      self.top = top
      self.scale = scale
      self.bias = bias
      self.outer = outer
      self.count = count
      self.inner = inner
      self.learns = learns
    }

    private var scales: UnsafeMutablePointer<Float> { scale?.values ?? factor?.values ?? top.values }

    func forward() {
      let x = bottom.values
      let y = top.values
      let s = scales
      let b = bias?.values
      engine.parallel(outer * count, grain: max(1, 4096 / max(1, inner))) { [count, inner] from, to in
        for row in from..<to {
          let factor = s[row % count]
          let shift = b?[row % count] ?? 0
          for i in (row * inner)..<((row + 1) * inner) { y[i] = x[i] * factor + shift }
        }
      }
    }

    func backward() {
      let dy = top.gradients
      if let bias, learns[learns.count - 1] { bias.accumulate { addSums($0, overwrite: $1) { Double(dy[$0]) } } }
      // The bottom's gradient comes last: it may lie where the top's does.
      if let scale, learns[0] {
        let x = bottom.values
        scale.accumulate { addSums($0, overwrite: $1) { Double(dy[$0]) * Double(x[$0]) } }
      } else if let factor, factor.hasGradient {
        let x = bottom.values
        addSums(factor.gradients, overwrite: true) { Double(dy[$0]) * Double(x[$0]) }
      }
      guard bottom.hasGradient else { return }
      let dx = bottom.gradients
      let s = scales
      engine.parallel(outer * count, grain: max(1, 4096 / max(1, inner))) { [count, inner] from, to in
        for row in from..<to {
          let factor = s[row % count]
          for i in (row * inner)..<((row + 1) * inner) { dx[i] = dy[i] * factor }
        }
      }
    }

    /// Sums `term` over all but the scale's axes.
    private func addSums(_ sums: UnsafeMutablePointer<Float>, overwrite: Bool, _ term: (Int) -> Double) {
      engine.parallel(count, grain: max(1, 4096 / max(1, inner * outer))) { [outer, count, inner] from, to in
        for c in from..<to {
          var sum = 0.0
          for o in 0..<outer {
            let start = (o * count + c) * inner
            for i in start..<(start + inner) { sum += term(i) }
          }
          sums[c] = overwrite ? Float(sum) : sums[c] + Float(sum)
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "per channel with bias", inputs: [.normal([2, 3, 4, 2])],
      """
      layer { name: "s" type: "Scale" bottom: "in0" top: "s" scale_param { bias_term: true
        filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 } } }
      """),
    LayerExample(
      "two axes, in place", inputs: [.normal([2, 3, 4])],
      """
      layer { name: "s" type: "Scale" bottom: "in0" top: "in0" scale_param { axis: 0 num_axes: 2
        filler { type: "gaussian" std: 1 } } }
      """),
    LayerExample(
      "by a second bottom", inputs: [.normal([2, 3, 4]), .normal([3])],
      #"layer { name: "s" type: "Scale" bottom: "in0" bottom: "in1" top: "s" }"#),
    LayerExample(
      "by one number", inputs: [.normal([2, 3])],
      #"layer { name: "s" type: "Scale" bottom: "in0" top: "s" scale_param { num_axes: 0 filler { value: 3 } } }"#),
  ]
}
