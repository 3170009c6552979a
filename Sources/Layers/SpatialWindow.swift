import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// A sliding window over the spatial axes of a blob: what Convolution, Deconvolution, Im2col and Pooling share.
struct SpatialWindow: Sendable {
  var kernel: [Int]
  var stride: [Int]
  var pad: [Int]
  var dilation: [Int]

  /// The extent that the window covers on each axis, holes included.
  var reach: [Int] { zip(kernel, dilation).map { ($0 - 1) * $1 + 1 } }
}

/// How a `convolution_param` gives the window: once for all axes, once per axis, or as `_h` and `_w` for two axes.
struct WindowFields: Sendable {
  private let param: ConvolutionParameter
  private let fields: LayerFields

  init(_ fields: LayerFields) throws {
    param = fields.parameter.convolutionParam
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

  /// The window for `axes` spatial axes.
  func window(axes: Int) throws -> SpatialWindow {
    let window = SpatialWindow(
      kernel: try extents(
        param.kernelSize, param.hasKernelH ? (param.kernelH, param.kernelW) : nil, "kernel_size", axes, 1),
      stride: try extents(param.stride, param.hasStrideH ? (param.strideH, param.strideW) : nil, "stride", axes, 1),
      pad: try extents(param.pad, param.hasPadH || param.hasPadW ? (param.padH, param.padW) : nil, "pad", axes, 0),
      dilation: try extents(param.dilation, nil, "dilation", axes, 1))
    for (name, values) in [("kernel_size", window.kernel), ("stride", window.stride), ("dilation", window.dilation)]
    where values.contains(0) {
      throw fields.fault("\(name) must be at least 1", at: "convolution_param.\(name)[0]")
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
