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

  /// Winograd's algorithm (Lavin and Gray, Fast algorithms for convolutional neural networks, CVPR 2016) as oneDNN has
  /// it does 3x3 windows of one step without groups. With fewer channels its transforms cost more than they save.
  func algorithm(_ description: ConvolutionDescription) -> mtl_algorithm {
    let suits =
      description.kernel == [3, 3] && description.stride == [1, 1] && description.dilation == [1, 1]
      && description.groups == 1 && !description.isTransposed
      && min(description.bottomChannels, description.topChannels) >= 16
    return self == .winograd && suits ? MTL_WINOGRAD : MTL_DIRECT
  }
}

/// oneDNN's primitives for the directions that one convolution needs, all with the same bottom and top formats.
struct ConvolutionChoice {
  let bottom: Format
  let top: Format
  let forward: Primitive
  let backwardData: Primitive?
  let backwardWeights: Primitive?

  /// Chooses formats and algorithms; the primitives are still to be built.
  ///
  /// oneDNN's own choice of formats suits the forward pass, and mostly all directions. It does not when a bottom of
  /// few channels wants a gradient, for which no fast kernel is left then: there the channels lie last.
  ///
  /// Channels last would also save the filling of blocks (20 and 50 channels: a quarter of the time on a quiet machine),
  /// but those kernels wait for each other: beside a busy process they take ten times longer, blocks twice.
  ///
  /// - Throws: `machine` when oneDNN has no primitive for the convolution.
  static func make(
    _ description: ConvolutionDescription, _ convolution: mtl_convolution, policy: ConvolutionPolicy, dnnl: OneDNN
  ) throws -> ConvolutionChoice {
    let maker = ConvolutionMaker(
      convolution: convolution, algorithm: policy.algorithm(description), learns: description.learns,
      bottomGradient: description.bottomGradient, dnnl: dnnl)
    var usable: ConvolutionChoice?
    var fault: (any Error)?
    for format in [MTL_FORMAT_ANY, MTL_FORMAT_CHANNELS_LAST, MTL_FORMAT_PLAIN] {
      do {
        guard let choice = try maker.make(format) else { continue }
        if choice.isFast { return choice }
        if usable.map({ choice.isFast && !$0.isFast }) ?? true { usable = choice }
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
  let convolution: mtl_convolution
  let algorithm: mtl_algorithm
  let learns: Bool
  let bottomGradient: Bool
  let dnnl: OneDNN

  /// All directions with bottom and top in `format`; nil when oneDNN chooses one for them that no other op reads.
  func make(_ format: mtl_format) throws -> ConvolutionChoice? {
    let forward = try primitive(MTL_FORWARD, format, format, nil)
    // Formats that are the same in memory (one channel) are not the same to oneDNN: what was asked for stays.
    let asked = Format(format)
    guard let bottom = asked ?? forward.format(MTL_SOURCE), let top = asked ?? forward.format(MTL_DESTINATION) else {
      return nil
    }
    return ConvolutionChoice(
      bottom: bottom, top: top, forward: forward,
      backwardData: bottomGradient ? try primitive(MTL_BACKWARD_DATA, bottom.native, top.native, forward) : nil,
      backwardWeights: learns ? try primitive(MTL_BACKWARD_WEIGHTS, bottom.native, top.native, forward) : nil)
  }

  /// Direct where oneDNN has not the algorithm asked for.
  private func primitive(
    _ direction: mtl_direction, _ bottom: mtl_format, _ top: mtl_format, _ forward: Primitive?
  ) throws -> Primitive {
    func create(_ algorithm: mtl_algorithm, isOptional: Bool) throws -> Primitive? {
      try dnnl.primitive("a convolution", isOptional: isOptional) { result, dnnl in
        withUnsafePointer(to: convolution) {
          mtl_convolution_create(result, dnnl, $0, direction, algorithm, bottom, top, forward?.handle)
        }
      }
    }
    if algorithm != MTL_DIRECT, let chosen = try create(algorithm, isOptional: true) { return chosen }
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
