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

/// How convolutions read their bottoms and weights; all else is float in any case.
package enum Precision: Sendable {
  case float
  /// The upper 16 bits of a float: 8 bits of the number's digits are kept. Sums are float.
  case bfloat
}

/// What computes one direction of a convolution.
package enum ConvolutionAlgorithm: String, Codable, Sendable {
  case direct, winograd
  /// Direct, over bottom, weights and top gradient in bfloat.
  case bfloat
  /// A product over the patches that windows see; see `PatchConvolution`.
  case patches
}

/// What computes each direction of a convolution.
package struct ConvolutionAlgorithms: Hashable, Codable, Sendable {
  package var forward: ConvolutionAlgorithm
  package var backwardData: ConvolutionAlgorithm
  package var backwardWeights: ConvolutionAlgorithm

  /// One for all directions; bfloat and patches go no other way, since they have layouts of their own.
  static func all(_ algorithm: ConvolutionAlgorithm) -> ConvolutionAlgorithms {
    ConvolutionAlgorithms(forward: algorithm, backwardData: algorithm, backwardWeights: algorithm)
  }

  var isPatches: Bool { forward == .patches }
  var isHalf: Bool { forward == .bfloat }

  /// The rule, the same in every run.
  static func rule(_ description: ConvolutionDescription, policy: ConvolutionPolicy, precision: Precision)
    -> ConvolutionAlgorithms
  {
    if PatchConvolution.suits(description) { return .all(.patches) }
    if policy == .winograd, suitsWinograd(description) { return .all(.winograd) }
    return .all(precision == .bfloat && suitsHalf(description) ? .bfloat : .direct)
  }

  /// Whether oneDNN has Winograd's algorithm (Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR
  /// 2016) for it: 3x3 windows of one step without groups, in tiles of 4x4 positions of the top.
  static func canBeWinograd(_ d: ConvolutionDescription) -> Bool {
    d.kernel == [3, 3] && d.stride == [1, 1] && d.dilation == [1, 1] && d.groups == 1 && !d.isTransposed
  }

  /// Measured on 64 to 512 channels of 7x7 to 224x224 positions, it takes 0.34 to 0.68 of the direct kernels' time in
  /// each direction. With few channels its transforms cost more than they save; with few tiles its weights, four times
  /// as many, are read for little.
  private static func suitsWinograd(_ d: ConvolutionDescription) -> Bool {
    guard canBeWinograd(d) else { return false }
    let tiles = d.topExtents.reduce(d.batch) { $0 * (($1 + 3) / 4) }
    return min(d.bottomChannels, d.topChannels) >= 32 && tiles >= 32
  }

  /// Small ones are not worth the copies; depthwise ones move memory and compute little.
  private static func suitsHalf(_ d: ConvolutionDescription) -> Bool {
    !d.isTransposed && d.kernel.count == 2 && d.bottomChannels / d.groups >= 3 && d.topChannels / d.groups >= 16
      && d.multiplyAdds >= 10_000_000
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
  static func make(_ description: ConvolutionDescription, _ algorithms: ConvolutionAlgorithms, dnnl: OneDNN) throws
    -> ConvolutionChoice
  {
    let maker = ConvolutionMaker(description, algorithms, dnnl: dnnl)
    if algorithms.isHalf {
      // Not every shape has a kernel in bfloat; one that has none is computed in float.
      if let half = try? maker.make(MTL_FORMAT_ANY), half.isFast { return half }
      return try make(description, .all(.direct), dnnl: dnnl)
    }
    var usable: ConvolutionChoice?
    var fault: (any Error)?
    for format in [MTL_FORMAT_ANY, MTL_FORMAT_CHANNELS_LAST, MTL_FORMAT_PLAIN] {
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

  /// Whether no direction is left to oneDNN's unoptimised loops, which are a thousand times slower.
  private var isFast: Bool {
    ![forward, backwardData, backwardWeights].contains { $0?.implementation.contains("ref") ?? false }
  }
}

/// Asks oneDNN for the primitives of one convolution.
private struct ConvolutionMaker {
  private let convolution: mtl_convolution
  private let algorithms: ConvolutionAlgorithms
  private let learns: Bool
  private let bottomGradient: Bool
  private let dnnl: OneDNN

  init(_ description: ConvolutionDescription, _ algorithms: ConvolutionAlgorithms, dnnl: OneDNN) {
    var convolution = mtl_convolution(description)
    convolution.precision = algorithms.isHalf ? MTL_BFLOAT : MTL_FLOAT
    self.convolution = convolution
    self.algorithms = algorithms
    learns = description.learns
    bottomGradient = description.bottomGradient
    self.dnnl = dnnl
  }

  /// All directions with bottom and top in `format`; nil when oneDNN chooses one for them that no other op reads.
  func make(_ format: mtl_format) throws -> ConvolutionChoice? {
    let forward = try primitive(MTL_FORWARD, algorithms.forward, format, format, nil)
    // Formats that are the same in memory (one channel) are not the same to oneDNN: what was asked for stays.
    let asked = Format(format)
    guard let bottom = asked ?? forward.format(MTL_SOURCE), let top = asked ?? forward.format(MTL_DESTINATION) else {
      return nil
    }
    func backward(_ direction: mtl_direction, _ algorithm: ConvolutionAlgorithm) throws -> Primitive {
      try primitive(direction, algorithm, bottom.native, top.native, forward)
    }
    return ConvolutionChoice(
      bottom: bottom, top: top, isHalf: algorithms.isHalf, convolution: convolution, forward: forward,
      backwardData: bottomGradient ? try backward(MTL_BACKWARD_DATA, algorithms.backwardData) : nil,
      backwardWeights: learns ? try backward(MTL_BACKWARD_WEIGHTS, algorithms.backwardWeights) : nil)
  }

  /// Direct where oneDNN has not the algorithm asked for.
  private func primitive(
    _ direction: mtl_direction, _ algorithm: ConvolutionAlgorithm, _ bottom: mtl_format, _ top: mtl_format,
    _ forward: Primitive?
  ) throws -> Primitive {
    func create(_ algorithm: mtl_algorithm, isOptional: Bool) throws -> Primitive? {
      try dnnl.primitive("a convolution", isOptional: isOptional) { result, dnnl in
        withUnsafePointer(to: convolution) {
          mtl_convolution_create(result, dnnl, $0, direction, algorithm, bottom, top, forward?.handle)
        }
      }
    }
    if algorithm == .winograd, let chosen = try create(MTL_WINOGRAD, isOptional: true) { return chosen }
    guard let direct = try create(MTL_DIRECT, isOptional: false) else {
      preconditionFailure("oneDNN made no primitive and gave no reason")
    }
    return direct
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
