import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Maximum, average or a random value (STOCHASTIC, see `StochasticPooling`) of windows of N x C x H x W.
///
/// H' = (H + 2 pad - kernel) / stride + 1, rounded up (`round_mode: FLOOR` rounds down); with padding, a last window
/// that would start in the far padding is left out. A second top of MAX holds the position of each maximum in its
/// plane. A window wholly outside the bottom gives 0, where Caffe gave -FLT_MAX.
///
/// Of forks: `ceil_mode: false` rounds down; `pool: AVE_EXC_PAD` divides by the values that are not padding; `pad_l`,
/// `pad_r`, `pad_t` and `pad_b` pad each side by itself, and no window is left out then; bottoms N x C x D x H x W, or N x C
/// x W, take `kernel_size`, `stride` and `pad` along all axes; `kernel_shape` and `stride_shape` give a window of one to
/// three axes.
package struct Pooling: PoolingLayer {
  package static let type = "Pooling"
  package static let parameterFields: [String]? = ["pooling_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...2

  private let fields: LayerFields
  private let param: PoolingParameter
  /// Given in another way than by `param`.
  private let window: Window?

  /// A window, or the whole bottom where there is no kernel.
  struct Window: Sendable {
    var kernel: [Int]?
    var stride: [Int]
    var pad: [Int]
    /// Behind the last element.
    var padAfter: [Int]
  }

  /// A pooling whose window does not come from `pooling_param`.
  init(_ fields: LayerFields, _ param: PoolingParameter, _ window: Window) {
    self.fields = fields
    self.param = param
    self.window = window
  }

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.poolingParam
    window = try Pooling.shapedWindow(fields)
    if window == nil { try checkPlaneWindow() }
    try refuseForks()
    guard fields.parameter.top.count == 1 || param.pool == .max else {
      throw fields.fault("only MAX has a second top, the positions of the maxima", at: "top[1]")
    }
  }

  private func checkPlaneWindow() throws {
    let hasPair = param.hasKernelH || param.hasKernelW
    if param.globalPooling {
      guard !param.hasKernelSize, !hasPair else {
        throw fields.fault(
          "global_pooling takes the whole plane; leave the kernel out", at: "pooling_param.global_pooling")
      }
    } else {
      guard param.hasKernelSize != (param.hasKernelH && param.hasKernelW), param.hasKernelSize != hasPair else {
        throw fields.fault("give either kernel_size or both kernel_h and kernel_w", at: "pooling_param")
      }
    }
    if param.hasStride, param.hasStrideH || param.hasStrideW {
      throw fields.fault("give either stride or stride_h and stride_w", at: "pooling_param.stride")
    }
    if param.hasPad, param.hasPadH || param.hasPadW {
      throw fields.fault("give either pad or pad_h and pad_w", at: "pooling_param.pad")
    }
    guard param.pool != .stochastic || (param.pad == 0 && param.padH == 0 && param.padW == 0) else {
      throw fields.fault("pool: STOCHASTIC goes without padding", at: "pooling_param.pad")
    }
  }

  private func refuseForks() throws {
    let place = "pooling_param."
    try fields.refuse(param.padType != 0, place + "pad_type", "give pad_l, pad_r, pad_t and pad_b")
    try fields.refuse(param.pool == .aveTf, place + "pool", "MAX, AVE, AVE_EXC_PAD and STOCHASTIC are")
    try fields.refuse(param.hasKernelDepth, place + "kernel_depth", "give kernel_shape and stride_shape")
    try fields.refuse(param.hasTemporalStride, place + "temporal_stride", "give kernel_shape and stride_shape")
    try fields.refuse(param.hasNormRegion, place + "norm_region", "it is no field of a pooling")
    try fields.refuse(
      padsSides && (param.hasPad || param.hasPadH || param.hasPadW), place + "pad_l",
      "pad is given as well; give one of the two forms")
    try fields.refuse(
      param.pool == .ave && (param.padL != param.padR || param.padT != param.padB), place + "pad_l",
      "an average that counts padding needs it equal on both sides; AVE_EXC_PAD does not")
    try fields.refuse(padsSides && param.pool == .stochastic, place + "pad_l", "STOCHASTIC goes without padding")
  }

  /// Of `kernel_shape` and `stride_shape`.
  private static func shapedWindow(_ fields: LayerFields) throws -> Window? {
    let param = fields.parameter.poolingParam
    guard param.hasKernelShape || param.hasStrideShape else { return nil }
    let kernel = param.kernelShape.dim.map { Int($0) }
    let stride = param.hasStrideShape ? param.strideShape.dim.map { Int($0) } : kernel.map { _ in 1 }
    guard (1...3).contains(kernel.count), stride.count == kernel.count,
      (kernel + stride).allSatisfy({ $0 > 0 && $0 <= Int32.max })
    else {
      throw fields.fault(
        "kernel_shape and stride_shape need one to three extents from 1 on, as many each",
        at: "pooling_param.kernel_shape")
    }
    guard !param.hasKernelSize, !param.hasKernelH, !param.hasKernelW, !param.hasStride, !param.hasStrideH,
      !param.hasStrideW, !param.hasPadH, !param.hasPadW, !param.hasPadL, !param.hasPadR, !param.hasPadT, !param.hasPadB,
      !param.globalPooling, param.pool != .stochastic
    else {
      throw fields.fault("kernel_shape goes with stride_shape and pad alone, and with MAX and AVE", at: "pooling_param")
    }
    let pad = kernel.map { _ in Int(param.pad) }
    return Window(kernel: kernel, stride: stride, pad: pad, padAfter: pad)
  }

  private var padsSides: Bool { param.padL != 0 || param.padR != 0 || param.padT != 0 || param.padB != 0 }

  /// `ceil_mode` is a fork's word for `round_mode`.
  private var roundMode: PoolingParameter.RoundMode {
    param.hasCeilMode && !param.hasRoundMode ? param.ceilMode ? .ceil : .floor : param.roundMode
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let top = try description(of: bottoms[0]).topShape
    return LayerShapes(tops: fields.parameter.top.map { _ in top })
  }

  /// Of `param`, for two axes.
  private var planeWindow: Window {
    if param.globalPooling { return Window(stride: [1, 1], pad: [0, 0], padAfter: [0, 0]) }
    let pad =
      padsSides
      ? [Int(param.padT), Int(param.padL)]
      : param.hasPadH || param.hasPadW ? [Int(param.padH), Int(param.padW)] : [Int(param.pad), Int(param.pad)]
    return Window(
      kernel: param.hasKernelSize
        ? [Int(param.kernelSize), Int(param.kernelSize)] : [Int(param.kernelH), Int(param.kernelW)],
      stride: param.hasStrideH
        ? [Int(param.strideH), Int(param.strideW)] : [Int(param.stride), Int(param.stride)], pad: pad,
      padAfter: padsSides ? [Int(param.padB), Int(param.padR)] : pad)
  }

  /// Of `param`, for one axis or three, which forks pool alike; nil where the sides differ.
  private func evenWindow(axes: Int) -> Window? {
    let sides = [
      param.hasKernelH, param.hasKernelW, param.hasStrideH, param.hasStrideW, param.hasPadH, param.hasPadW, padsSides,
    ]
    guard axes == 1 || axes == 3, !sides.contains(true), !isRandom else { return nil }
    func all(_ value: UInt32) -> [Int] { [Int](repeating: Int(value), count: axes) }
    if param.globalPooling { return Window(stride: all(1), pad: all(0), padAfter: all(0)) }
    return Window(
      kernel: all(param.kernelSize), stride: all(param.stride), pad: all(param.pad), padAfter: all(param.pad))
  }

  package var isRandom: Bool { param.pool == .stochastic }

  package func description(of bottom: Shape) throws -> PoolingDescription {
    let window = window ?? evenWindow(axes: bottom.rank - 2) ?? planeWindow
    guard bottom.rank == 2 + window.stride.count else {
      throw fields.fault(
        .badShape,
        "needs a bottom of \(2 + window.stride.count) axes (N x C x \(window.stride.count == 2 ? "H x W" : "…")), "
          + "but it is \(bottom)")
    }
    let extents = Array(bottom.dims[2...])
    let kernel = window.kernel ?? extents
    let (stride, pad, after) = (window.stride, window.pad, window.padAfter)
    let padded = extents.indices.map { extents[$0] + pad[$0] + after[$0] }
    for axis in extents.indices {
      guard kernel[axis] > 0, stride[axis] > 0 else {
        throw fields.fault("kernel and stride must be at least 1", at: "pooling_param")
      }
      guard pad[axis] < kernel[axis] else {
        throw fields.fault("pad \(pad[axis]) must be smaller than the kernel \(kernel[axis])", at: "pooling_param.pad")
      }
    }
    let topExtents =
      padsSides
      ? Pooling.topExtents(padded, kernel: kernel, stride: stride, pad: extents.map { _ in 0 }, mode: roundMode)
      : Pooling.topExtents(extents, kernel: kernel, stride: stride, pad: pad, mode: roundMode)
    guard topExtents.allSatisfy({ $0 > 0 }) else {
      throw fields.fault(
        .badShape, "kernel \(Shape(kernel)) is larger than its padded input \(Shape(padded))",
        at: "pooling_param.kernel_size")
    }
    return PoolingDescription(
      method: param.pool == .max ? .max : .average, batch: bottom[0], channels: bottom[1], bottomExtents: extents,
      topExtents: topExtents,
      kernel: kernel, stride: stride, pad: pad, excludesPadding: param.pool == .aveExcPad)
  }

  /// The number of windows on each axis; 0 or less where the kernel does not fit. Rounded up, a first window may be cut at
  /// the end.
  static func topExtents(
    _ extents: [Int], kernel: [Int], stride: [Int], pad: [Int], mode: PoolingParameter.RoundMode
  ) -> [Int] {
    extents.indices.map { axis in
      let span = extents[axis] + 2 * pad[axis] - kernel[axis]
      var count = Int((Double(span) / Double(stride[axis])).rounded(mode == .ceil ? .up : .down)) + 1
      if pad.contains(where: { $0 != 0 }), (count - 1) * stride[axis] >= extents[axis] + pad[axis] { count -= 1 }
      return count
    }
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    var description = try description(of: binding.bottomShapes[0])
    description.bottomGradient = binding.wantsGradient(0)
    description.wantsMask = binding.topShapes.count > 1
    let op: any PoolingOp =
      param.pool == .stochastic
      ? StochasticPooling(description, binding)
      : try binding.engine.pooling(description, bottom: binding.bottomLayout(0))
    let bottom = binding.bottom(0, in: op.bottomLayout)
    let top = binding.top(0, in: op.topLayout)
    let mask = description.wantsMask ? binding.top(1) : nil
    binding.backwardReads()
    return Run(
      op, bottom, top, mask, workspace: binding.workspace(op.workspaceByteCount),
      scratch: binding.scratch(op.scratchByteCount))
  }

  private final class Run: DescribedRun {
    private let op: any PoolingOp
    private let bottom: Blob
    private let top: Blob
    private let mask: Blob?
    private let workspace: Region
    private let scratch: Region

    init(_ op: any PoolingOp, _ bottom: Blob, _ top: Blob, _ mask: Blob?, workspace: Region, scratch: Region) {
      self.op = op
      self.bottom = bottom
      self.top = top
      self.mask = mask
      self.workspace = workspace
      self.scratch = scratch
    }

    var implementation: String { op.implementation }

    func forward() {
      op.forward(
        bottom: bottom.data, top: top.data, mask: mask?.values, workspace: workspace.pointer, scratch: scratch.pointer)
    }

    func backward() {
      // The positions take no gradient.
      guard top.hasGradient else {
        bottom.gradient.initializeMemory(
          as: UInt8.self, repeating: 0, count: bottom.layout.byteCount(for: bottom.shape))
        return
      }
      op.backward(
        topGradient: top.gradient, bottomGradient: bottom.gradient, workspace: workspace.pointer,
        scratch: scratch.pointer)
    }
  }

  package static let examples: [LayerExample] = [
    example("max 2/2", [2, 3, 6, 6], "pool: MAX kernel_size: 2 stride: 2"),
    example("max 3/2, last window cut", [2, 2, 6, 8], "pool: MAX kernel_size: 3 stride: 2"),
    example("kernel larger than the input, cut", [1, 2, 2, 2], "pool: MAX kernel_size: 3 stride: 2"),
    example("average, kernel larger than the input", [1, 2, 2, 3], "pool: AVE kernel_size: 4 stride: 3"),
    example("max with padding", [1, 16, 5, 5], "pool: MAX kernel_size: 3 stride: 1 pad: 1"),
    example("max, stride larger than the kernel", [1, 2, 7, 7], "pool: MAX kernel_size: 2 stride: 3"),
    example("average 3/2, last window cut", [2, 2, 6, 8], "pool: AVE kernel_size: 3 stride: 2"),
    example("average with padding", [2, 3, 6, 7], "pool: AVE kernel_size: 3 stride: 2 pad: 1"),
    example("global average", [2, 3, 4, 5], "pool: AVE global_pooling: true"),
    example("rounded down, a fork's word", [1, 2, 6, 6], "pool: MAX kernel_size: 3 stride: 2 ceil_mode: false"),
    example("sides padded unequally", [1, 2, 6, 6], "pool: MAX kernel_size: 3 stride: 2 pad_r: 1 pad_b: 1"),
    example("average without padding", [2, 2, 6, 6], "pool: AVE_EXC_PAD kernel_size: 3 stride: 2 pad_l: 1 pad_t: 1"),
    example(
      "rectangular, padded", [1, 2, 5, 6], "pool: AVE kernel_h: 3 kernel_w: 2 pad_h: 2 pad_w: 1 stride_h: 2 stride_w: 1"
    ),
    example("rounded down", [1, 2, 6, 6], "pool: MAX kernel_size: 3 stride: 2 round_mode: FLOOR"),
    example("one kernel for three axes", [1, 2, 4, 5, 5], "pool: MAX kernel_size: 3 stride: 2 pad: 1"),
    example("one axis", [2, 3, 7], "pool: AVE kernel_size: 3 stride: 2"),
    example(
      "three axes", [1, 2, 4, 5, 5],
      "pool: MAX kernel_shape { dim: 2 dim: 3 dim: 3 } stride_shape { dim: 2 dim: 1 dim: 2 }"),
    example("one axis, averaged", [2, 3, 7], "pool: AVE kernel_shape { dim: 3 } pad: 1"),
    LayerExample(
      "max with its positions", inputs: [.distinct([2, 2, 4, 4])],
      """
      layer { name: "pool" type: "Pooling" bottom: "in0" top: "pool" top: "mask"
        pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
      """),
    stochastic("random in training", .train),
    stochastic("weighted average in testing", .test),
  ]

  private static func example(_ name: String, _ shape: Shape, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.distinct(shape)],
      """
      layer { name: "pool" type: "Pooling" bottom: "in0" top: "pool" pooling_param { \(param) } }
      """)
  }

  private static func stochastic(_ name: String, _ phase: Phase) -> LayerExample {
    LayerExample(
      name, inputs: [.uniform([2, 3, 5, 6], 0.1...1)],
      """
      layer { name: "pool" type: "Pooling" bottom: "in0" top: "pool"
        pooling_param { pool: STOCHASTIC kernel_size: 3 stride: 2 } }
      """, phase: phase, checksGradient: phase == .test)
  }
}

/// A pooling under whatever name, for those who want to know what it computes.
package protocol PoolingLayer: Layer {
  /// Whether it takes a random value of a window, or their weighted mean in TEST; the description then says nothing of
  /// the method.
  var isRandom: Bool { get }
  func description(of bottom: Shape) throws -> PoolingDescription
}
