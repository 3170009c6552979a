import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// top = bottom * scale (+ bias), the scale repeated over the axes that it does not have.
///
/// The scale covers `num_axes` axes of the bottom from `axis` on (-1: all to the end) and is a parameter, or the second
/// bottom, whose shape then says how many axes it covers. `bias_term` adds a bias of the scale's shape.
package struct Scale: AbsorbingLayer, ChannelAffine {
  package static let type = "Scale"
  package static let parameterFields: [String]? = ["scale_param"]
  package static let bottomCount = 1...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: ScaleParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.scaleParam
    try fields.refuse(param.hasMinValue, "scale_param.min_value", "the scale is not bounded")
  }

  private var isLearned: Bool { fields.parameter.bottom.count == 1 }

  private func repetition(_ bottoms: [Shape]) throws -> Repetition {
    try Repetition("scale", fields, bottoms: bottoms, axis: Int(param.axis), numAxes: Int(param.numAxes))
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let scale = try repetition(bottoms).shape
    var one = FillerParameter()
    one.value = 1
    var parameters: [ParameterDefinition] = []
    if isLearned {
      parameters.append(.init(name: "scale", shape: scale, filler: param.hasFiller ? param.filler : one))
    }
    if param.biasTerm { parameters.append(.init(name: "bias", shape: scale, filler: param.biasFiller)) }
    return LayerShapes(tops: [bottoms[0]], parameters: parameters)
  }

  /// Whether there is a bias, when there is a learned factor for each channel of N x C x …; nil otherwise.
  func channelBias(_ bottom: Shape) -> Bool? {
    guard isLearned, bottom.rank >= 2, let repetition = try? repetition([bottom]) else { return nil }
    return repetition.outer == bottom[0] && repetition.shape == [bottom[1]] ? param.biasTerm : nil
  }

  func isAffine(over bottom: Shape) -> Bool { channelBias(bottom) != nil }

  func apply(_ parameters: [Parameter], channel: Int, factor: inout Double, term: inout Double) {
    let scale = Double(parameters[0].values[channel])
    factor *= scale
    term = term * scale + (parameters.count > 1 ? Double(parameters[1].values[channel]) : 0)
  }

  package func absorbs(_ followers: [FollowingLayer]) -> Int {
    guard let first = followers.first, channelBias(first.bottomShape) != nil,
      let rectifier = first.definition as? ReLU, rectifier.isPlain
    else { return 0 }
    return 1
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? bottoms[0].canonicalAxis(Int(param.axis))).map { axis < $0 } == true
      ? RowwiseBlobs(bottoms: [0]) : bottoms.count == 2 && bottoms[1].rank > 0 ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let hasBias = channelBias(binding.bottomShapes[0]) {
      return try ChannelNormalizationRun(
        binding,
        BatchNormDescription(
          shape: binding.bottomShapes[0], epsilon: 0, statistics: .none, hasScale: true, hasShift: hasBias,
          rectifies: !binding.followers.isEmpty, bottomGradient: binding.wantsGradient(0)),
        scale: binding.parameters[0], shift: hasBias ? binding.parameters[1] : nil,
        learns: binding.runsBackward && binding.learns.contains(true))
    }
    let repetition = try repetition(binding.bottomShapes)
    let bottom = binding.bottom(0)
    let factor = isLearned ? nil : binding.bottom(1)
    let top = binding.top(0)
    let learnsScale = isLearned && binding.runsBackward && binding.learns[0]
    binding.backwardReads(
      bottoms: [factor, learnsScale || factor?.hasGradient == true ? bottom : nil].compactMap { $0 })
    binding.allowInPlace(bottom, top)
    return Run(
      binding.engine, bottom, factor, top, scale: isLearned ? binding.parameters[0] : nil,
      bias: param.biasTerm ? binding.parameters.last : nil, repetition, learns: binding.learns)
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let factor: Blob?
    private let top: Blob
    private let scale: Parameter?
    private let bias: Parameter?
    private let repetition: Repetition
    private let learns: [Bool]

    init(
      _ engine: any Engine, _ bottom: Blob, _ factor: Blob?, _ top: Blob, scale: Parameter?, bias: Parameter?,
      _ repetition: Repetition, learns: [Bool]
    ) {
      self.engine = engine
      self.bottom = bottom
      self.factor = factor
      self.top = top
      self.scale = scale
      self.bias = bias
      self.repetition = repetition
      self.learns = learns
    }

    private var scales: UnsafeMutablePointer<Float> { scale?.values ?? factor?.values ?? top.values }

    func forward() {
      let x = bottom.values
      let y = top.values
      let s = scales
      let b = bias?.values
      engine.parallel(repetition.outer * repetition.count, grain: repetition.rowGrain) { [repetition] from, to in
        let (count, inner) = (repetition.count, repetition.inner)
        for row in from..<to {
          let factor = s[row % count]
          let shift = b?[row % count] ?? 0
          for i in (row * inner)..<((row + 1) * inner) { y[i] = x[i] * factor + shift }
        }
      }
    }

    func backward() {
      let dy = top.gradients
      if let bias, learns[learns.count - 1] {
        bias.accumulate { sums, isFirst in
          repetition.addSums(engine, sums, overwrite: isFirst) { Double(dy[$0]) }
        }
      }
      // The bottom's gradient comes last: it may lie where the top's does.
      if let scale, learns[0] {
        let x = bottom.values
        scale.accumulate { sums, isFirst in
          repetition.addSums(engine, sums, overwrite: isFirst) { Double(dy[$0]) * Double(x[$0]) }
        }
      } else if let factor, factor.hasGradient {
        let x = bottom.values
        repetition.addSums(engine, factor.gradients, overwrite: true) { Double(dy[$0]) * Double(x[$0]) }
      }
      guard bottom.hasGradient else { return }
      let dx = bottom.gradients
      let s = scales
      engine.parallel(repetition.outer * repetition.count, grain: repetition.rowGrain) { [repetition] from, to in
        let (count, inner) = (repetition.count, repetition.inner)
        for row in from..<to {
          let factor = s[row % count]
          for i in (row * inner)..<((row + 1) * inner) { dx[i] = dy[i] * factor }
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
      "the bias alone learns", inputs: [.normal([2, 3, 4, 2])],
      """
      layer { name: "s" type: "Scale" bottom: "in0" top: "s" param { lr_mult: 0 } param { lr_mult: 1 }
        scale_param { bias_term: true filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 } } }
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
