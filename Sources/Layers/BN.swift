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
package struct BN: Layer {
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
    try fields.refuse(
      param.hasVarEps || param.hasDecay || param.hasAcrossSpatial || param.hasAxis, "bn_param.var_eps",
      "the statistics are those of channels")
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

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let shape = binding.bottomShapes[0]
    let op = try binding.engine.batchNorm(
      BatchNormDescription(
        shape: shape, epsilon: keepsStatistics ? param.eps : 1e-9, usesGlobalStatistics: usesKept,
        bottomGradient: binding.wantsGradient(0)),
      bottom: .plain)
    guard op.layout.isPlain else { preconditionFailure("batch normalisation of a plain blob is plain") }
    let bottom = binding.bottom(0)
    let bytes = shape.count * MemoryLayout<Float>.stride
    let normalises = keepsStatistics || param.bnMode == .learn
    binding.backwardReads(bottoms: [bottom])
    return Run(
      binding, normalises ? op : nil, bottom, binding.top(0), momentum: param.momentum, usesKept: usesKept,
      normalised: binding.workspace(normalises ? bytes : 0),
      statistics: binding.workspace(2 * shape[1] * MemoryLayout<Float>.stride), inner: binding.scratch(bytes),
      scratch: binding.scratch(op.scratchByteCount))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    /// Nil when nothing is normalised.
    private let op: (any BatchNormOp)?
    private let bottom: Blob
    private let top: Blob
    private let parameters: [Parameter]
    private let learns: [Bool]
    private let repetition: Repetition
    private let momentum: Float
    private let usesKept: Bool
    private let normalised: Region
    /// Mean and variance of this pass, C each.
    private let statistics: Region
    /// The gradient of what was normalised.
    private let inner: Region
    private let scratch: Region

    init(
      _ binding: LayerBinding, _ op: (any BatchNormOp)?, _ bottom: Blob, _ top: Blob, momentum: Float, usesKept: Bool,
      normalised: Region, statistics: Region, inner: Region, scratch: Region
    ) {
      engine = binding.engine
      parameters = binding.parameters
      learns = binding.learns
      self.op = op
      self.bottom = bottom
      self.top = top
      self.momentum = momentum
      self.usesKept = usesKept
      self.normalised = normalised
      self.statistics = statistics
      self.inner = inner
      self.scratch = scratch
      repetition = Repetition(
        outer: bottom.shape[0], shape: [bottom.shape[1]], inner: bottom.shape.count(2...))
    }

    private func floats(_ region: Region) -> UnsafeMutablePointer<Float> {
      region.pointer.assumingMemoryBound(to: Float.self)
    }

    private var mean: UnsafeMutablePointer<Float> { floats(statistics) }
    private var variance: UnsafeMutablePointer<Float> { floats(statistics) + repetition.count }

    func forward() {
      if let op {
        if usesKept {
          mean.update(from: parameters[2].values, count: repetition.count)
          variance.update(from: parameters[3].values, count: repetition.count)
        }
        op.forward(
          bottom: bottom.data, mean: mean, variance: variance, top: normalised.pointer, scratch: scratch.pointer)
        if !usesKept, parameters.count > 2 { follow() }
      }
      let x = op == nil ? bottom.values : floats(normalised)
      let (y, slope, shift) = (top.values, parameters[0].values, parameters[1].values)
      forEachRow { row, channel in for i in row { y[i] = slope[channel] * x[i] + shift[channel] } }
    }

    private func follow() {
      for (kept, new) in [(parameters[2], mean), (parameters[3], variance)] {
        for c in 0..<repetition.count { kept.values[c] = momentum * kept.values[c] + (1 - momentum) * new[c] }
        kept.touch()
      }
    }

    func backward() {
      let dy = top.gradients
      let x = op == nil ? bottom.values : floats(normalised)
      if learns[0] {
        parameters[0].accumulate { sums, isFirst in
          repetition.addSums(engine, sums, overwrite: isFirst) { Double(dy[$0]) * Double(x[$0]) }
        }
      }
      if learns[1] {
        parameters[1].accumulate { sums, isFirst in
          repetition.addSums(engine, sums, overwrite: isFirst) { Double(dy[$0]) }
        }
      }
      guard bottom.hasGradient else { return }
      let slope = parameters[0].values
      let scaled = op == nil ? bottom.gradients : floats(inner)
      forEachRow { row, channel in for i in row { scaled[i] = slope[channel] * dy[i] } }
      op?.backward(
        bottom: bottom.data, mean: mean, variance: variance, topGradient: scaled, bottomGradient: bottom.gradient,
        scratch: scratch.pointer)
    }

    private func forEachRow(_ body: (_ row: Range<Int>, _ channel: Int) -> Void) {
      engine.parallel(repetition.outer * repetition.count, grain: repetition.rowGrain) { [repetition] from, to in
        let (count, inner) = (repetition.count, repetition.inner)
        for row in from..<to { body((row * inner)..<((row + 1) * inner), row % count) }
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
