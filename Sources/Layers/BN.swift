import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Normalises each channel over batch and positions, scales and shifts it (Ioffe, Szegedy, ICML 2015). Two families of
/// forks have a layer of this name; their `bn_param` tells them apart.
///
/// PSPNet's and its kin's (`slope_filler`, `bias_filler`): parameters slope, bias, mean and variance, 1 x C each. In
/// TRAIN the batch's statistics are used and the kept ones follow them, kept = `momentum` kept + (1 - momentum) batch's,
/// without Bessel's correction; in TEST, or when `frozen`, the kept ones are used, and then nothing is learned. The
/// solver never touches mean and variance. SegNet's (`scale_filler`, `shift_filler`, `bn_mode`): parameters scale and
/// shift, 1 x C x 1 x 1; LEARN uses the batch's statistics in both phases, INFERENCE normalises nothing. Without a filler
/// the slope starts as 1.
package struct BN: AbsorbingLayer, ChannelAffine, RefusedLayer {
  package static let type = "BN"
  package static let parameterFields: [String]? = ["bn_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: BNParameter
  private let keepsStatistics: Bool

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.bnParam
    keepsStatistics = !(param.hasBnMode || param.hasScaleFiller || param.hasShiftFiller)
    try fields.refuse(!param.movingAverage, "bn_param.moving_average", "the kept statistics follow the batches'")
    try fields.refuse(param.icnet, "bn_param.icnet", "give momentum and frozen")
  }

  /// A fork's layer computes something else; its shapes are the same.
  package var refusal: Diagnostic? {
    fields.refusal(
      param.hasVarEps || param.hasDecay || param.hasAcrossSpatial || param.hasAxis, "bn_param.decay",
      "give momentum and eps, and leave out var_eps, decay, across_spatial and axis")
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank >= 2 else {
      throw fields.fault(.badShape, "needs a bottom of 2 or more axes (N x C x …), but it is \(bottoms[0])")
    }
    let channels = bottoms[0][1]
    let shape: Shape = keepsStatistics ? [1, channels] : [1, channels, 1, 1]
    func constant(_ value: Float) -> FillerParameter {
      var filler = FillerParameter()
      filler.value = value
      return filler
    }
    let slope = param.hasSlopeFiller ? param.slopeFiller : param.hasScaleFiller ? param.scaleFiller : constant(1)
    let shift = param.hasBiasFiller ? param.biasFiller : param.hasShiftFiller ? param.shiftFiller : constant(0)
    let isFrozen = keepsStatistics && param.frozen
    var parameters = [
      ParameterDefinition(name: "slope", shape: shape, filler: slope, isStatistic: isFrozen),
      ParameterDefinition(name: "shift", shape: shape, filler: shift, isStatistic: isFrozen),
    ]
    if keepsStatistics {
      parameters += [
        .init(name: "mean", shape: shape, filler: constant(0), isStatistic: true),
        .init(name: "variance", shape: shape, filler: constant(param.frozen ? 1 : 0), isStatistic: true),
      ]
    }
    return LayerShapes(tops: bottoms, parameters: parameters)
  }

  /// Whether the statistics are those of earlier batches.
  private var usesKept: Bool { keepsStatistics && (param.frozen || fields.phase == .test) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { usesKept && axis == 0 ? .all : nil }

  func isAffine(over bottom: Shape) -> Bool { refusal == nil && usesKept }

  func apply(_ parameters: [Parameter], channel: Int, factor: inout Double, term: inout Double) {
    let deviation = (Double(parameters[3].values[channel]) + Double(param.eps)).squareRoot()
    let scale = Double(parameters[0].values[channel]) / deviation
    factor *= scale
    term = (term - Double(parameters[2].values[channel])) * scale + Double(parameters[1].values[channel])
  }

  package func absorbs(_ followers: [FollowingLayer]) -> Int {
    guard let rectifier = followers.first?.definition as? ReLU, rectifier.isPlain else { return 0 }
    return 1
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    let normalises = keepsStatistics || param.bnMode == .learn
    return try Run(
      binding,
      BatchNormDescription(
        shape: binding.bottomShapes[0], epsilon: keepsStatistics ? param.eps : 1e-9,
        statistics: normalises ? (usesKept ? .given : .batch) : .none, hasScale: true, hasShift: true,
        rectifies: !binding.followers.isEmpty, bottomGradient: binding.wantsGradient(0)),
      momentum: param.momentum)
  }

  private final class Run: ChannelNormalizationRun {
    private let parameters: [Parameter]
    private let momentum: Float
    private let statistics: BatchNormDescription.Statistics

    init(_ binding: LayerBinding, _ description: BatchNormDescription, momentum: Float) throws {
      parameters = binding.parameters
      self.momentum = momentum
      statistics = description.statistics
      try super.init(
        binding, description, scale: parameters[0], shift: parameters[1],
        learns: binding.runsBackward && binding.learns.contains(true))
    }

    override func forward() {
      if statistics == .given {
        mean.update(from: parameters[2].values, count: parameters[2].count)
        variance.update(from: parameters[3].values, count: parameters[3].count)
      }
      super.forward()
      if statistics == .batch, parameters.count > 2 { follow() }
    }

    private func follow() {
      for (kept, new) in [(parameters[2], mean), (parameters[3], variance)] {
        for c in 0..<kept.count { kept.values[c] = momentum * kept.values[c] + (1 - momentum) * new[c] }
        kept.touch()
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("kept statistics, in training", #"slope_filler { type: "gaussian" std: 1 } bias_filler { value: 0.5 }"#),
    example("kept statistics, in testing", "eps: 0.5", phase: .test),
    example("frozen", "frozen: true eps: 0.5"),
    example("SegNet's", "scale_filler { value: 2 } shift_filler { value: 0.5 }"),
    example("SegNet's, for inference", "bn_mode: INFERENCE scale_filler { value: 2 }", phase: .test),
  ]

  private static func example(_ name: String, _ param: String, phase: Phase = .train) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([4, 3, 2, 3])],
      #"layer { name: "bn" type: "BN" bottom: "in0" top: "bn" bn_param { \#(param) } }"#, phase: phase)
  }
}
