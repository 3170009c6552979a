import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Divides by a norm. Two forks have a layer of this name.
///
/// With `norm_param` (SSD; ParseNet: Liu, Rabinovich, Berg, 2015): top = scale * bottom / sqrt(sum of squares + `eps`),
/// over a whole record (`across_spatial`, unless false) or the channels of each position, with a learned scale, one
/// (`channel_shared`, unless false) or for each channel, 1 at first unless `scale_filler` says otherwise. Without it (the
/// face recognition forks, `normalize_param`): over the channels of each position, sqrt(sum of squares + 1e-6) (L2) or
/// sum of magnitudes + 1e-6 (`normalize_type: "L1"`), without scale; the top has 4 axes, and a second top holds the norms
/// (N x 1 x H x W), which take a gradient with `bp_norm`. As in SSD, the gradient takes a record's scales for equal.
package struct Normalize: Layer {
  package static let type = "Normalize"
  package static let parameterFields: [String]? = ["norm_param", "normalize_param", "softmax_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...2

  private let fields: LayerFields
  private let param: NormalizeParameter
  private let isScaled: Bool

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    isScaled = fields.parameter.hasNormParam
    var param = isScaled ? fields.parameter.normParam : fields.parameter.normalizeParam
    let older = fields.parameter.softmaxParam
    try fields.refuse(older.hasAxis, "softmax_param.axis", "vectors are normalised over the channels")
    try fields.refuse(
      older.hasNormalizeType && (isScaled || fields.parameter.hasNormalizeParam), "softmax_param.normalize_type",
      "normalize_param or norm_param is given as well")
    if older.hasNormalizeType { param.normalizeType = older.normalizeType }
    self.param = param
    let name = isScaled ? "norm_param" : "normalize_param"
    try fields.refuse(!param.addEpsBeforeSqrt, "\(name).add_eps_before_sqrt", "eps is added to the sum of squares")
    try fields.refuse(param.hasFixScale, "\(name).fix_scale", "give lr_mult: 0 for a scale that does not learn")
    try fields.refuse(param.fixGradient, "\(name).fix_gradient", "the gradient is that of the function")
    for (isGiven, field) in [
      (param.hasAcrossSpatial, "across_spatial"), (param.hasChannelShared, "channel_shared"),
      (param.hasScaleFiller, "scale_filler"), (param.hasEps, "eps"),
    ] {
      try fields.refuse(isGiven && !isScaled, "normalize_param.\(field)", "it is a field of norm_param")
    }
    guard ["L1", "L2"].contains(param.normalizeType) else {
      throw fields.fault(
        "normalize_type must be L1 or L2; it is '\(param.normalizeType)'", at: "\(name).normalize_type")
    }
    guard !isScaled || fields.parameter.top.count == 1 else {
      throw fields.fault("with norm_param there is one top", at: "top[1]")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bottom = bottoms[0]
    guard bottom.rank >= 2, isScaled || bottom.rank <= 4 else {
      throw fields.fault(.badShape, "needs a bottom of 2 to 4 axes (N x C x H x W), but it is \(bottom)")
    }
    guard isScaled else {
      let top = Shape((0..<4).map { bottom.extent($0) })
      return LayerShapes(tops: fields.parameter.top.count > 1 ? [top, [top[0], 1, top[2], top[3]]] : [top])
    }
    var one = FillerParameter()
    one.value = 1
    let scale = ParameterDefinition(
      name: "scale", shape: param.channelShared ? .scalar : [bottom[1]],
      filler: param.hasScaleFiller ? param.scaleFiller : one)
    return LayerShapes(tops: [bottom], parameters: [scale])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let shape = binding.bottomShapes[0]
    let bottom = binding.bottom(0)
    let top = binding.top(0)
    let norms = binding.topShapes.count > 1 ? binding.top(1) : nil
    binding.backwardReads(bottoms: [bottom], tops: norms.map { [$0] } ?? [])
    let isSpatial = isScaled && param.acrossSpatial
    let count = isSpatial ? shape[0] : shape[0] * shape.count(2...)
    return Run(
      binding.engine, bottom, top, norms, binding.parameters.first, learns: binding.learns.contains(true),
      isSpatial: isSpatial, isSum: param.normalizeType == "L1", epsilon: isScaled ? param.eps : 1e-6,
      passesNorm: param.bpNorm, kept: norms?.dataRegion ?? binding.workspace(count * MemoryLayout<Float>.stride))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let norms: Blob?
    private let scale: Parameter?
    private let learns: Bool
    private let isSum: Bool
    private let epsilon: Float
    private let passesNorm: Bool
    /// The norms: of a record, or of each position.
    private let kept: Region
    private let channels: Int
    /// Values of a channel that have one norm, and how many norms a record has: (H W, 1) or (1, H W).
    private let span: Int
    private let places: Int

    init(
      _ engine: any Engine, _ bottom: Blob, _ top: Blob, _ norms: Blob?, _ scale: Parameter?, learns: Bool,
      isSpatial: Bool, isSum: Bool, epsilon: Float, passesNorm: Bool, kept: Region
    ) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.norms = norms
      self.scale = scale
      self.learns = learns
      self.isSum = isSum
      self.epsilon = epsilon
      self.passesNorm = passesNorm
      self.kept = kept
      channels = bottom.shape[1]
      let plane = bottom.shape.count(2...)
      span = isSpatial ? plane : 1
      places = isSpatial ? 1 : plane
    }

    private var values: UnsafeMutablePointer<Float> { kept.pointer.assumingMemoryBound(to: Float.self) }

    private func factor(_ channel: Int) -> Float {
      guard let scale else { return 1 }
      return scale.values[scale.count == 1 ? 0 : channel]
    }

    func forward() {
      let (x, y, norm) = (bottom.values, top.values, values)
      forEachNorm { n, start in
        var sum = 0.0
        forEachValue(start) { at, _ in sum += isSum ? Double(abs(x[at])) : Double(x[at]) * Double(x[at]) }
        norm[n] = isSum ? Float(sum) + epsilon : (Float(sum) + epsilon).squareRoot()
        forEachValue(start) { at, channel in y[at] = factor(channel) * (x[at] / norm[n]) }
      }
    }

    /// With n the norm: dx = scale (dy - n' (sum of dy x) / n) / n + n' dn, where n' is x / n, or the sign of x for sums.
    func backward() {
      let (x, norm) = (bottom.values, values)
      let dy = top.hasGradient ? top.gradients : nil
      if let scale, learns, let dy { addScaleGradient(scale, dy) }
      guard bottom.hasGradient else { return }
      let dx = bottom.gradients
      let dn = passesNorm && norms?.hasGradient == true ? norms?.gradients : nil
      forEachNorm { n, start in
        var sum = 0.0
        if let dy { forEachValue(start) { at, _ in sum += Double(dy[at]) * Double(x[at]) } }
        let (pull, ownPull) = (Float(sum) / (norm[n] * norm[n]), dn?[n] ?? 0)
        forEachValue(start) { at, channel in
          let slope = isSum ? (x[at] > 0 ? 1 : x[at] < 0 ? -1 : 0) : x[at] / norm[n]
          dx[at] = factor(channel) * ((dy?[at] ?? 0) / norm[n] - pull * slope) + ownPull * slope
        }
      }
    }

    private func addScaleGradient(_ scale: Parameter, _ dy: UnsafePointer<Float>) {
      let (x, norm) = (bottom.values, values)
      scale.accumulate { sums, isFirst in
        if isFirst { sums.update(repeating: 0, count: scale.count) }
        for n in 0..<(bottom.shape[0] * places) {
          let start = n / places * channels * span * places + n % places
          for channel in 0..<channels {
            var sum = 0.0
            for i in 0..<span {
              let at = start + channel * span * places + i
              sum += Double(dy[at]) * Double(x[at])
            }
            sums[scale.count == 1 ? 0 : channel] += Float(sum) / norm[n]
          }
        }
      }
    }

    private func forEachNorm(_ body: (_ norm: Int, _ start: Int) -> Void) {
      let count = bottom.shape[0] * places
      engine.parallel(count, grain: max(1, 4096 / max(1, channels * span))) { [places, channels, span] from, to in
        for n in from..<to { body(n, n / places * channels * span * places + n % places) }
      }
    }

    /// The values that have the norm whose first value is at `start`.
    @inline(__always)
    private func forEachValue(_ start: Int, _ body: (_ at: Int, _ channel: Int) -> Void) {
      for channel in 0..<channels {
        let first = start + channel * span * places
        for at in first..<(first + span) { body(at, channel) }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "the sum of magnitudes, in the older form", inputs: [.normalAway([3, 4], from: 0)],
      """
      layer { name: "n" type: "Normalize" bottom: "in0" top: "n" softmax_param { normalize_type: "L1" } }
      """),
    LayerExample(
      "without parameters", inputs: [.normal([3, 4])],
      #"layer { name: "n" type: "Normalize" bottom: "in0" top: "n" }"#),
    example(
      "positions, scale per channel", [2, 6, 2, 3],
      "norm_param { across_spatial: false channel_shared: false scale_filler { value: 3 } }"),
    example("records, one scale", [2, 3, 2, 2], "norm_param { scale_filler { value: 2 } }"),
    example(
      "records, with what goes without saying", [2, 3, 2, 2],
      #"norm_param { normalize_type: "L2" add_eps_before_sqrt: true fix_gradient: false bp_norm: false }"#),
    example("vectors", [3, 5], ""), example("a large epsilon", [2, 4, 2, 2], "norm_param { eps: 0.5 }"),
    example("magnitudes", [2, 4, 2, 2], #"normalize_param { normalize_type: "L1" }"#),
    example("with its norms", [2, 4, 2, 2], #"top: "norms" normalize_param { bp_norm: true }"#),
  ]

  private static func example(_ name: String, _ shape: Shape, _ more: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normalAway(shape, from: 0)],
      #"layer { name: "n" type: "Normalize" bottom: "in0" top: "n" \#(more) }"#)
  }
}
