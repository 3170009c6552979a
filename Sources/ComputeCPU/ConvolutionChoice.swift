import CDNNL
import Compute
import Diagnostics
import Tensors

/// How the algorithm of a convolution is chosen.
package enum ConvolutionPolicy: Sendable {
  /// The sum of the formula, in another order: rounding apart, every engine's numbers.
  case direct
  /// Winograd's algorithm where it is faster; within 1e-3 of the formula, relative to the largest value.
  case winograd
}

/// How convolutions read and write, and with them the ops between them; statistics, losses, weights and their gradients are
/// float in any case.
package enum Precision: Sendable {
  case float
  /// The upper 16 bits of a float: 8 bits of the number's digits are kept. Sums are float.
  case bfloat
}

/// What computes one direction of a convolution.
package enum ConvolutionAlgorithm: String, Codable, Sendable {
  case direct
  /// See `WinogradConvolution`.
  case winograd
  /// Direct, over blobs and copies of the weights in bfloat.
  case bfloat
  /// Winograd's over blobs in bfloat; the weights and what is computed are float.
  case winogradOfHalves = "winograd bfloat"
  /// A product over the patches that windows see; see `PatchConvolution`.
  case patches
}

/// What computes each direction of a convolution.
package struct ConvolutionAlgorithms: Hashable, Codable, Sendable {
  package var forward: ConvolutionAlgorithm
  package var backwardData: ConvolutionAlgorithm
  package var backwardWeights: ConvolutionAlgorithm

  /// One for all directions; nothing goes another way, since each has layouts of its own.
  static func all(_ algorithm: ConvolutionAlgorithm) -> ConvolutionAlgorithms {
    ConvolutionAlgorithms(forward: algorithm, backwardData: algorithm, backwardWeights: algorithm)
  }

  var isPatches: Bool { forward == .patches }
  var isWinograd: Bool { forward == .winograd || forward == .winogradOfHalves }
  /// Whether blobs are in bfloat.
  var isHalf: Bool { forward == .bfloat || forward == .winogradOfHalves }

  /// The rule, the same in every run.
  static func rule(_ description: ConvolutionDescription, policy: ConvolutionPolicy, precision: Precision)
    -> ConvolutionAlgorithms
  {
    if PatchConvolution.suits(description) { return .all(.patches) }
    if precision == .bfloat, suitsHalf(description) {
      return .all(
        policy == .winograd && WinogradConvolution.suitsHalf(description) ? .winogradOfHalves : .bfloat)
    }
    return .all(policy == .winograd && WinogradConvolution.suits(description) ? .winograd : .direct)
  }

  /// Small ones are not worth the copies; depthwise ones move memory and compute little.
  private static func suitsHalf(_ d: ConvolutionDescription) -> Bool {
    guard !d.isTransposed, d.kernel.count == 2 else { return false }
    if isDepthwise(d) { return d.multiplyAdds >= 1_000_000 }
    return d.bottomChannels / d.groups >= 3 && d.topChannels / d.groups >= 16 && d.multiplyAdds >= 10_000_000
  }

  private static func isDepthwise(_ d: ConvolutionDescription) -> Bool {
    d.groups == d.bottomChannels && d.groups == d.topChannels && d.groups % 16 == 0
  }
}

/// oneDNN's primitives for the directions that one convolution needs, all with the same bottom and top formats.
struct ConvolutionChoice {
  let bottom: Format
  let top: Format
  let isHalf: Bool
  let convolution: mtl_convolution
  let forward: Primitive
  let backwardData: Primitive?
  let backwardWeights: Primitive?

  /// Chooses formats; the primitives are still to be built.
  ///
  /// oneDNN's own choice of formats suits the forward pass, and mostly all directions. It does not when a bottom of
  /// few channels wants a gradient, for which no fast kernel is left then: there the channels lie last.
  ///
  /// Channels last would also save the filling of blocks, but those kernels wait for each other: beside a busy process
  /// they take ten times longer, blocks twice.
  ///
  /// - Throws: `machine` when oneDNN has no primitive for the convolution.
  static func make(_ description: ConvolutionDescription, isHalf: Bool, dnnl: OneDNN) throws -> ConvolutionChoice {
    let maker = ConvolutionMaker(description, isHalf: isHalf, dnnl: dnnl)
    if isHalf {
      // Not every shape has a kernel in bfloat; one that has none is computed in float.
      if let half = try? maker.make(MTL_FORMAT_ANY), half.isFast, half.top == .blocked16 { return half }
      return try make(description, isHalf: false, dnnl: dnnl)
    }
    var usable: ConvolutionChoice?
    var fault: (any Error)?
    let formats =
      description.isPlain ? [MTL_FORMAT_PLAIN] : [MTL_FORMAT_ANY, MTL_FORMAT_CHANNELS_LAST, MTL_FORMAT_PLAIN]
    for format in formats {
      do {
        guard let choice = try maker.make(format) else { continue }
        if choice.isFast { return choice }
        usable = usable ?? choice
      } catch {
        fault = fault ?? error
      }
    }
    if let usable { return usable }
    throw fault ?? Diagnostic(.machine, "oneDNN has no convolution of \(description.bottomShape) that can be used here")
  }

  private var isFast: Bool { [forward, backwardData, backwardWeights].allSatisfy { $0?.isFast ?? true } }
}

extension Primitive {
  /// Whether it is not one of oneDNN's unoptimised loops, which are a thousand times slower.
  fileprivate var isFast: Bool { !implementation.contains("ref") }
}

extension ConvolutionDescription {
  /// What the name of a kernel says of what is done besides.
  var epilogueName: String { (hasAddend ? "+add" : "") + (rectifies ? "+rectify" : "") }
}

/// Asks oneDNN for the primitives of one convolution.
private struct ConvolutionMaker {
  private var convolution: mtl_convolution
  private let hasAddend: Bool
  private let isHalf: Bool
  private let learns: Bool
  private let bottomGradient: Bool
  private let dnnl: OneDNN

  init(_ description: ConvolutionDescription, isHalf: Bool, dnnl: OneDNN) {
    var convolution = mtl_convolution(description)
    convolution.precision = isHalf ? MTL_BFLOAT : MTL_FLOAT
    self.convolution = convolution
    self.isHalf = isHalf
    hasAddend = description.hasAddend
    learns = description.learns
    bottomGradient = description.bottomGradient
    self.dnnl = dnnl
  }

  /// All directions with bottom and top in `format`; nil when oneDNN chooses one for them that no other op reads.
  func make(_ format: mtl_format) throws -> ConvolutionChoice? {
    var forward = try primitive(MTL_FORWARD, format, format, nil)
    // Formats that are the same in memory (one channel) are not the same to oneDNN: what was asked for stays.
    let asked = Format(format)
    guard let bottom = asked ?? forward.format(MTL_SOURCE), let top = asked ?? forward.format(MTL_DESTINATION) else {
      return nil
    }
    if hasAddend {
      var adding = self
      adding.convolution.has_addend = true
      // Where no fast kernel adds, `CPUConvolution` does.
      if let sum = try? adding.primitive(MTL_FORWARD, bottom.native, top.native, nil), sum.isFast { forward = sum }
    }
    func backward(_ direction: mtl_direction) throws -> Primitive {
      try primitive(direction, bottom.native, top.native, forward)
    }
    return ConvolutionChoice(
      bottom: bottom, top: top, isHalf: isHalf, convolution: convolution, forward: forward,
      backwardData: bottomGradient ? try backward(MTL_BACKWARD_DATA) : nil,
      backwardWeights: learns ? try backward(MTL_BACKWARD_WEIGHTS) : nil)
  }

  private func primitive(
    _ direction: mtl_direction, _ bottom: mtl_format, _ top: mtl_format, _ forward: Primitive?
  ) throws -> Primitive {
    let created = try dnnl.primitive("a convolution") { result, dnnl in
      withUnsafePointer(to: convolution) {
        mtl_convolution_create(result, dnnl, $0, direction, bottom, top, forward?.handle)
      }
    }
    guard let created else { preconditionFailure("oneDNN made no primitive and gave no reason") }
    return created
  }
}

extension mtl_convolution {
  /// One spatial axis is done as two, the first of extent 1.
  init(_ d: ConvolutionDescription) {
    self.init()
    let missing = d.kernel.count == 1 ? 1 : 0
    axes = Int32(d.kernel.count + missing)
    batch = Int64(d.batch)
    bottom_channels = Int64(d.bottomChannels)
    top_channels = Int64(d.topChannels)
    groups = Int64(d.groups)
    bottom = mtl_convolution.axes(d.bottomExtents, missing, 1)
    top = mtl_convolution.axes(d.topExtents, missing, 1)
    kernel = mtl_convolution.axes(d.kernel, missing, 1)
    stride = mtl_convolution.axes(d.stride, missing, 1)
    dilation = mtl_convolution.axes(d.dilation, missing, 1)
    pad_before = mtl_convolution.axes(d.padBefore, missing, 0)
    pad_after = mtl_convolution.axes(d.kernel.indices.map { mtl_convolution.padAfter(d, $0) }, missing, 0)
    has_bias = d.hasBias
    is_transposed = d.isTransposed
  }

  /// What the far side of an axis needs so that the last window ends with the padding; negative where the last
  /// elements are in no window.
  private static func padAfter(_ d: ConvolutionDescription, _ axis: Int) -> Int {
    let (windows, elements) =
      d.isTransposed
      ? (d.bottomExtents[axis], d.topExtents[axis]) : (d.topExtents[axis], d.bottomExtents[axis])
    let window = (d.kernel[axis] - 1) * d.dilation[axis] + 1
    return (windows - 1) * d.stride[axis] + window - elements - d.padBefore[axis]
  }

  private static func axes(_ values: [Int], _ missing: Int, _ filling: Int) -> (Int64, Int64, Int64) {
    let all = (Array(repeating: filling, count: missing) + values + [filling]).map(Int64.init)
    return (all[0], all[1], all[2])
  }
}
