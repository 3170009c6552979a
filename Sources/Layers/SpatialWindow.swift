import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// A sliding window over the spatial axes of a blob: what Convolution, Deconvolution, Im2col and Pooling share.
struct SpatialWindow: Sendable {
  var kernel: [Int]
  var stride: [Int]
  /// Before the first element, and after the last.
  var pad: [Int]
  var padAfter: [Int]
  var dilation: [Int]

  /// The extent that the window covers on each axis, holes included.
  var reach: [Int] { zip(kernel, dilation).map { ($0 - 1) * $1 + 1 } }
}

/// How a `convolution_param` gives the window: once for all axes, once per axis, or as `_h` and `_w` for two axes; in a
/// fork, as `kernel_shape`, `stride_shape` and `pad_shape`.
struct WindowFields: Sendable {
  private let param: ConvolutionParameter
  private let fields: LayerFields

  init(_ fields: LayerFields) throws {
    param = try WindowFields.withShapes(fields)
    self.fields = fields
    func refuseBoth(_ list: [UInt32], _ pair: Bool, _ name: String, _ short: String) throws {
      if !list.isEmpty, pair {
        throw fields.fault(
          "give either \(name) or \(short)_h and \(short)_w, not both", at: "convolution_param.\(short)_h")
      }
    }
    try refuseBoth(param.kernelSize, param.hasKernelH || param.hasKernelW, "kernel_size", "kernel")
    try refuseBoth(param.stride, param.hasStrideH || param.hasStrideW, "stride", "stride")
    try refuseBoth(param.pad, param.hasPadH || param.hasPadW, "pad", "pad")
    guard !param.kernelSize.isEmpty || (param.hasKernelH && param.hasKernelW) else {
      throw fields.fault("kernel_size is missing; give it (or kernel_h and kernel_w)", at: "convolution_param")
    }
    if param.hasKernelH != param.hasKernelW || param.hasStrideH != param.hasStrideW {
      throw fields.fault("the _h and _w forms come in pairs; one of them is missing", at: "convolution_param")
    }
  }

  /// `kernel_shape`, `stride_shape` and `pad_shape` as the lists that they stand for.
  private static func withShapes(_ fields: LayerFields) throws -> ConvolutionParameter {
    var param = fields.parameter.convolutionParam
    func list(_ shape: BlobShape, _ name: String, _ others: Bool) throws -> [UInt32] {
      let place = "convolution_param.\(name)_shape"
      guard !others else { throw fields.fault("give either \(name)_shape or the other fields of its kind", at: place) }
      return try shape.dim.map {
        guard $0 >= 0, $0 <= Int32.max else { throw fields.fault("a window cannot have extent \($0)", at: place) }
        return UInt32($0)
      }
    }
    if param.hasKernelShape {
      param.kernelSize = try list(
        param.kernelShape, "kernel", !param.kernelSize.isEmpty || param.hasKernelH || param.hasKernelW)
    }
    if param.hasStrideShape {
      param.stride = try list(
        param.strideShape, "stride", !param.stride.isEmpty || param.hasStrideH || param.hasStrideW)
    }
    if param.hasPadShape {
      param.pad = try list(param.padShape, "pad", !param.pad.isEmpty || param.hasPadH || param.hasPadW)
    }
    return param
  }

  private var padsSides: Bool { param.padL != 0 || param.padR != 0 || param.padT != 0 || param.padB != 0 }

  /// Refuses the fields of forks that would change the result.
  func refuseForks(isTransposed: Bool) throws {
    let place = "convolution_param."
    try fields.refuse(param.padType != 0, place + "pad_type", "give pad_l, pad_r, pad_t and pad_b")
    for (isGiven, name) in [
      (param.hasKernelDepth, "kernel_depth"), (param.temporalPad != 0, "temporal_pad"),
      (param.temporalStride != 1, "temporal_stride"),
    ] {
      try fields.refuse(isGiven, place + name, "give kernel_size, stride and pad once for each axis")
    }
    try fields.refuse(param.fuseType != .unfused, place + "fuse_type", "a convolution does nothing else")
    try fields.refuse(
      padsSides && (!param.pad.isEmpty || param.hasPadH || param.hasPadW), place + "pad_l",
      "pad is given as well; give one of the two forms")
    try fields.refuse(padsSides && isTransposed, place + "pad_l", "a deconvolution cuts all sides equally")
    for (name, value) in [("l", param.padL), ("r", param.padR), ("t", param.padT), ("b", param.padB)] where value < 0 {
      throw fields.fault("pad_\(name) must not be below 0", at: place + "pad_\(name)")
    }
  }

  /// The window for `axes` spatial axes.
  func window(axes: Int) throws -> SpatialWindow {
    let pad = try extents(param.pad, param.hasPadH || param.hasPadW ? (param.padH, param.padW) : nil, "pad", axes, 0)
    guard !padsSides || axes == 2 else {
      throw fields.fault("pad_l, pad_r, pad_t and pad_b need two spatial axes", at: "convolution_param.pad_l")
    }
    let window = SpatialWindow(
      kernel: try extents(
        param.kernelSize, param.hasKernelH ? (param.kernelH, param.kernelW) : nil, "kernel_size", axes, 1),
      stride: try extents(param.stride, param.hasStrideH ? (param.strideH, param.strideW) : nil, "stride", axes, 1),
      pad: padsSides ? [Int(param.padT), Int(param.padL)] : pad,
      padAfter: padsSides ? [Int(param.padB), Int(param.padR)] : pad,
      dilation: try extents(param.dilation, nil, "dilation", axes, 1))
    for (name, values) in [("kernel_size", window.kernel), ("stride", window.stride), ("dilation", window.dilation)]
    where values.contains(0) {
      throw fields.fault("\(name) must be at least 1", at: "convolution_param.\(name)[0]")
    }
    for (name, values) in [
      ("kernel_size", window.kernel), ("stride", window.stride), ("dilation", window.dilation), ("pad", window.pad),
    ] where values.contains(where: { $0 > Int(Int32.max) }) {
      throw fields.fault("\(name) is too large", at: "convolution_param.\(name)[0]")
    }
    return window
  }

  private func extents(
    _ list: [UInt32], _ pair: (UInt32, UInt32)?, _ name: String, _ axes: Int, _ fallback: Int
  ) throws -> [Int] {
    if let pair {
      guard axes == 2 else {
        throw fields.fault("the _h and _w forms need two spatial axes; the bottom has \(axes)", at: "convolution_param")
      }
      return [Int(pair.0), Int(pair.1)]
    }
    switch list.count {
    case 0: return [Int](repeating: fallback, count: axes)
    case 1: return [Int](repeating: Int(list[0]), count: axes)
    case axes: return list.map(Int.init)
    default:
      throw fields.fault(
        "\(name) is given \(list.count) times; give it once, or once for each of the \(axes) spatial axes",
        at: "convolution_param.\(name)[0]")
    }
  }
}
