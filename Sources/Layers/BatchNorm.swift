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
package struct BatchNorm: Layer {
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
    let place = "batch_norm_param."
    for (isGiven, name) in [
      (param.hasFiller, "filler"), (param.hasScaleFiller, "scale_filler"), (param.hasBiasFiller, "bias_filler"),
    ] {
      try fields.refuse(isGiven && !param.scaleBias, place + name, "it goes with scale_bias: true")
    }
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

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if param.scaleBias || !param.addEpsBeforeSqrt {
      return ScaledBatchNorm(binding, param, usesGlobalStatistics: usesGlobalStatistics)
    }
    var shape = binding.bottomShapes[0]
    if shape.rank == 1 { shape = [shape[0], 1] }
    let op = try binding.engine.batchNorm(
      BatchNormDescription(
        shape: shape, epsilon: param.eps, usesGlobalStatistics: usesGlobalStatistics,
        bottomGradient: binding.wantsGradient(0)),
      bottom: binding.bottomLayout(0))
    let bottom = binding.bottom(0, in: op.layout)
    let top = binding.top(0, in: op.layout)
    binding.backwardReads(bottoms: usesGlobalStatistics ? [] : [bottom])
    if !binding.runsBackward { binding.allowInPlace(bottom, top) }
    let channels = BatchNorm.channels(binding.bottomShapes[0])
    return Run(
      op, bottom, top, binding.parameters, fraction: param.movingAverageFraction,
      perChannel: shape.count / max(1, channels), usesGlobalStatistics: usesGlobalStatistics,
      statistics: binding.workspace(2 * channels * MemoryLayout<Float>.stride),
      scratch: binding.scratch(op.scratchByteCount))
  }

  private final class Run: DescribedRun {
    private let op: any BatchNormOp
    private let bottom: Blob
    private let top: Blob
    private let parameters: [Parameter]
    private let fraction: Float
    private let perChannel: Int
    private let usesGlobalStatistics: Bool
    /// Mean and variance of this pass, C each.
    private let statistics: Region
    private let scratch: Region

    init(
      _ op: any BatchNormOp, _ bottom: Blob, _ top: Blob, _ parameters: [Parameter], fraction: Float, perChannel: Int,
      usesGlobalStatistics: Bool, statistics: Region, scratch: Region
    ) {
      self.op = op
      self.bottom = bottom
      self.top = top
      self.parameters = parameters
      self.fraction = fraction
      self.perChannel = perChannel
      self.usesGlobalStatistics = usesGlobalStatistics
      self.statistics = statistics
      self.scratch = scratch
    }

    private var mean: UnsafeMutablePointer<Float> { statistics.pointer.assumingMemoryBound(to: Float.self) }
    private var variance: UnsafeMutablePointer<Float> { mean + parameters[0].count }

    var implementation: String { op.implementation }

    func forward() {
      if usesGlobalStatistics { readSums() }
      op.forward(bottom: bottom.data, mean: mean, variance: variance, top: top.data, scratch: scratch.pointer)
      if !usesGlobalStatistics { addToSums() }
    }

    func backward() {
      op.backward(
        bottom: bottom.data, mean: mean, variance: variance, topGradient: top.gradient,
        bottomGradient: bottom.gradient, scratch: scratch.pointer)
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
