import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Normalises each channel to zero mean and unit variance over batch and positions (Ioffe, Szegedy, ICML 2015). Scale
/// and shift are a Scale layer's.
///
/// Bottom N x C x (spatial) or N x C. In TRAIN the statistics are the batch's, and running sums of them are kept in
/// three parameters: mean (C), variance (C, with Bessel's correction) and their common weight (1), each new batch added
/// after the old sum was multiplied by `moving_average_fraction`. In TEST (or with `use_global_stats`) the sums divided
/// by their weight are used. The solver never touches the three, whatever lr_mult says. Of forks: `scale_bias` adds a
/// scale (`filler` or `scale_filler`, 1 at first) and a bias (`bias_filler`) for each channel as parameters four and five,
/// as a Scale layer behind would; `add_eps_before_sqrt: false` adds `eps` to the deviation instead of the variance.
package struct BatchNorm: AbsorbingLayer, ChannelAffine, RefusedLayer {
  package static let type = "BatchNorm"
  package static let parameterFields: [String]? = ["batch_norm_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: BatchNormParameter
  private let usesGlobalStatistics: Bool

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.batchNormParam
    usesGlobalStatistics = param.hasUseGlobalStats ? param.useGlobalStats : fields.phase == .test
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank >= 1 else { throw fields.fault(.badShape, "needs a bottom with at least one axis") }
    let channels = BatchNorm.channels(bottoms[0])
    func statistic(_ name: String, _ count: Int) -> ParameterDefinition {
      ParameterDefinition(name: name, shape: [count], filler: FillerParameter(), isStatistic: true)
    }
    return LayerShapes(
      tops: bottoms,
      parameters: [statistic("mean", channels), statistic("variance", channels), statistic("weight", 1)]
        + scaleParameters(channels))
  }

  private func scaleParameters(_ channels: Int) -> [ParameterDefinition] {
    guard param.scaleBias else { return [] }
    var one = FillerParameter()
    one.value = 1
    let scale = param.hasFiller ? param.filler : param.hasScaleFiller ? param.scaleFiller : one
    return [
      .init(name: "scale", shape: [channels], filler: scale),
      .init(name: "bias", shape: [channels], filler: param.biasFiller),
    ]
  }

  private static func channels(_ bottom: Shape) -> Int { bottom.rank == 1 ? 1 : bottom[1] }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    usesGlobalStatistics && axis == 0 ? .all : nil
  }

  /// A filler that is given without what it would fill.
  package var refusal: Diagnostic? {
    let idle = [
      (param.hasFiller, "filler"), (param.hasScaleFiller, "scale_filler"), (param.hasBiasFiller, "bias_filler"),
    ].first(where: \.0)
    return idle.flatMap { _, name in
      fields.refusal(!param.scaleBias, "batch_norm_param." + name, "it goes with scale_bias: true")
    }
  }

  /// Nothing but what the paper says, without the forks' additions.
  private var isPlain: Bool { !param.scaleBias && param.addEpsBeforeSqrt }

  func isAffine(over bottom: Shape) -> Bool { isPlain && refusal == nil && usesGlobalStatistics && bottom.rank >= 2 }

  func apply(_ parameters: [Parameter], channel: Int, factor: inout Double, term: inout Double) {
    let weight = Double(parameters[2].values[0])
    let scale = weight == 0 ? 0 : 1 / weight
    let deviation = (Double(parameters[1].values[channel]) * scale + Double(param.eps)).squareRoot()
    factor /= deviation
    term = (term - Double(parameters[0].values[channel]) * scale) / deviation
  }

  package func absorbs(_ followers: [FollowingLayer]) -> Int {
    isPlain ? NormalizationTail(followers).count : 0
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    if !isPlain {
      return ScaledBatchNorm(binding, param, usesGlobalStatistics: usesGlobalStatistics)
    }
    var shape = binding.bottomShapes[0]
    if shape.rank == 1 { shape = [shape[0], 1] }
    let tail = NormalizationTail(binding.followers, bottom: binding.bottomShapes[0])
    let affine = tail.hasScale ? binding.followers[0] : nil
    return try Run(
      binding,
      BatchNormDescription(
        shape: shape, epsilon: param.eps, statistics: usesGlobalStatistics ? .given : .batch,
        hasScale: tail.hasScale, hasShift: tail.hasShift, rectifies: tail.rectifies,
        bottomGradient: binding.wantsGradient(0)),
      affine, fraction: param.movingAverageFraction)
  }

  private final class Run: ChannelNormalizationRun {
    private let parameters: [Parameter]
    private let fraction: Float
    private let perChannel: Int
    private let usesGlobalStatistics: Bool

    init(_ binding: LayerBinding, _ description: BatchNormDescription, _ affine: AbsorbedLayer?, fraction: Float) throws
    {
      parameters = binding.parameters
      self.fraction = fraction
      perChannel = description.shape.count / max(1, description.shape[1])
      usesGlobalStatistics = description.statistics == .given
      try super.init(
        binding, description, scale: affine?.parameters[0],
        shift: description.hasShift ? affine?.parameters.last : nil, learns: affine?.learns.contains(true) ?? false)
    }

    override func forward() {
      if usesGlobalStatistics { readSums() }
      super.forward()
      if !usesGlobalStatistics { addToSums() }
    }

    private func readSums() {
      let weight = parameters[2].values[0]
      let factor = weight == 0 ? 0 : 1 / weight
      for c in 0..<parameters[0].count {
        mean[c] = factor * parameters[0].values[c]
        variance[c] = factor * parameters[1].values[c]
      }
    }

    private func addToSums() {
      let correction = perChannel > 1 ? Float(perChannel) / Float(perChannel - 1) : 1
      for c in 0..<parameters[0].count {
        parameters[0].values[c] = fraction * parameters[0].values[c] + mean[c]
        parameters[1].values[c] = fraction * parameters[1].values[c] + correction * variance[c]
      }
      parameters[2].values[0] = fraction * parameters[2].values[0] + 1
      for parameter in parameters { parameter.touch() }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "batch statistics", inputs: [.normal([4, 3, 3, 2])],
      #"layer { name: "bn" type: "BatchNorm" bottom: "in0" top: "bn" }"#),
    LayerExample(
      "16 channels, in place", inputs: [.normal([3, 16, 4, 4])],
      #"layer { name: "bn" type: "BatchNorm" bottom: "in0" top: "in0" }"#),
    LayerExample(
      "two axes", inputs: [.normal([6, 5])], #"layer { name: "bn" type: "BatchNorm" bottom: "in0" top: "bn" }"#),
    LayerExample(
      "global statistics in training", inputs: [.normal([2, 3, 2, 2])],
      """
      layer { name: "bn" type: "BatchNorm" bottom: "in0" top: "bn" batch_norm_param { use_global_stats: true eps: 0.5 } }
      """),
    LayerExample(
      "with scale and bias", inputs: [.normal([4, 3, 3, 2])],
      """
      layer { name: "bn" type: "BatchNorm" bottom: "in0" top: "bn" batch_norm_param { scale_bias: true
        filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 } } }
      """),
    LayerExample(
      "with scale and bias over global statistics", inputs: [.normal([4, 3])],
      """
      layer { name: "bn" type: "BatchNorm" bottom: "in0" top: "bn" batch_norm_param { scale_bias: true eps: 0.5
        use_global_stats: true scale_filler { value: 2 } } }
      """),
    LayerExample(
      "eps added to the deviation", inputs: [.normal([4, 3, 3, 2])],
      """
      layer { name: "bn" type: "BatchNorm" bottom: "in0" top: "bn"
        batch_norm_param { add_eps_before_sqrt: false eps: 0.2 } }
      """),
  ]
}
