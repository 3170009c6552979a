import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Pooling of N x C x L x H x W, as forks for video have it (Qiu, Yao, Mei, ICCV 2017).
///
/// `kernel_size` (or `kernel_h`, `kernel_w`), `stride` (or `stride_h`, `stride_w`) and `pad` are for H and W; for L,
/// `kernel_l`, `stride_l` (1) and `pad_l` (0), in other forks `kernel_d`, `kernel_depth`, `stride_d` and
/// `temporal_stride`. The number of windows is rounded up, unless `ceil_mode: false` is given. C3D's form, `pooling_param`
/// with `kernel_depth` and `temporal_stride`, is read as well.
package struct Pooling3D: PoolingLayer {
  package static let type = "Pooling3D"
  package static let parameterFields: [String]? = ["pooling3d_param", "pooling_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let pooling: Pooling

  package init(_ fields: LayerFields) throws {
    guard !fields.parameter.hasPoolingParam else {
      pooling = try Pooling3D.pooling(asC3D: fields)
      return
    }
    let param = fields.parameter.pooling3DParam
    let place = "pooling3d_param."
    for (isGiven, name) in [
      (param.hasPadW0, "pad_w0"), (param.hasPadW1, "pad_w1"), (param.hasPadD0, "pad_d0"), (param.hasPadD1, "pad_d1"),
      (param.hasPadH0, "pad_h0"), (param.hasPadH1, "pad_h1"),
    ] {
      try fields.refuse(isGiven, place + name, "give pad and pad_l")
    }
    try fields.refuse(param.pool == .stochastic, place + "pool", "MAX, AVE and AVE_EXC_PAD are")
    var method = PoolingParameter()
    method.pool = param.pool == .max ? .max : param.pool == .ave ? .ave : .aveExcPad
    if param.hasCeilMode { method.ceilMode = param.ceilMode }
    pooling = Pooling(fields, method, try Pooling3D.window(fields, param))
  }

  private static func pooling(asC3D fields: LayerFields) throws -> Pooling {
    var parameter = fields.parameter
    guard !parameter.hasPooling3DParam else {
      throw fields.fault("give either pooling3d_param or pooling_param", at: "pooling_param")
    }
    var param = parameter.poolingParam
    guard param.hasKernelDepth, param.hasKernelSize, !param.hasKernelShape, !param.hasStrideShape else {
      throw fields.fault("give kernel_size and kernel_depth", at: "pooling_param")
    }
    try fields.refuse(param.pad != 0, "pooling_param.pad", "give pooling3d_param, where pad is for H and W")
    param.kernelShape.dim = [Int64(param.kernelDepth), Int64(param.kernelSize), Int64(param.kernelSize)]
    param.strideShape.dim = [Int64(param.temporalStride), Int64(param.stride), Int64(param.stride)]
    param.clearKernelDepth()
    param.clearTemporalStride()
    param.clearKernelSize()
    param.clearStride()
    parameter.poolingParam = param
    return try Pooling(
      LayerFields(parameter: parameter, places: fields.places, phase: fields.phase, paths: fields.paths))
  }

  private static func window(_ fields: LayerFields, _ param: Pooling3DParameter) throws -> Pooling.Window {
    let depths = [
      (param.hasKernelL, param.kernelL), (param.hasKernelD, param.kernelD), (param.hasKernelDepth, param.kernelDepth),
    ].filter(\.0)
    let depthStrides = [
      (param.hasStrideL, param.strideL), (param.hasStrideD, param.strideD),
      (param.hasTemporalStride, param.temporalStride),
    ].filter(\.0)
    let pad = [Int(param.padL), Int(param.pad), Int(param.pad)]
    if param.globalPooling {
      guard depths.isEmpty, !param.hasKernelSize, !param.hasKernelH, !param.hasKernelW, depthStrides.isEmpty,
        !param.hasStride, !param.hasStrideH, !param.hasStrideW, pad == [0, 0, 0]
      else {
        throw fields.fault(
          "global_pooling takes the whole bottom; leave the window out", at: "pooling3d_param.global_pooling")
      }
      return Pooling.Window(stride: [1, 1, 1], pad: pad, padAfter: pad)
    }
    guard depths.count <= 1, depthStrides.count <= 1, !depths.isEmpty || param.hasKernelSize,
      param.hasKernelSize != (param.hasKernelH || param.hasKernelW), param.hasKernelH == param.hasKernelW,
      param.hasStrideH == param.hasStrideW, !(param.hasStride && param.hasStrideH)
    else {
      throw fields.fault(
        "give kernel_size, or kernel_h and kernel_w, and kernel_l; each extent and stride once", at: "pooling3d_param")
    }
    let side = (
      Int(param.hasKernelH ? param.kernelH : param.kernelSize), Int(param.hasKernelW ? param.kernelW : param.kernelSize)
    )
    return Pooling.Window(
      kernel: [Int(depths.first?.1 ?? param.kernelSize), side.0, side.1],
      stride: [
        Int(depthStrides.first?.1 ?? 1), Int(param.hasStrideH ? param.strideH : param.stride),
        Int(param.hasStrideW ? param.strideW : param.stride),
      ], pad: pad, padAfter: pad)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try pooling.shapes(of: bottoms) }

  package var isRandom: Bool { pooling.isRandom }
  package func description(of bottom: Shape) throws -> PoolingDescription { try pooling.description(of: bottom) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { pooling.rowwise(bottoms, along: axis) }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try pooling.bind(binding) }

  package static let examples: [LayerExample] = [
    example("as P3D has it", "pool: MAX kernel_size: 3 stride: 2 kernel_l: 2 stride_l: 2"),
    example("with padding", "pool: AVE kernel_size: 3 stride: 2 pad: 1 kernel_depth: 2 pad_l: 1"),
    example(
      "by sides, rounded down",
      "pool: MAX kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 1 kernel_d: 1 stride_d: 2 ceil_mode: false"
    ),
    example("with C3D's name of the stride", "pool: MAX kernel_size: 2 kernel_depth: 2 stride: 2 temporal_stride: 2"),
    LayerExample(
      "as C3D has it", inputs: [.distinct([1, 2, 4, 6, 6])],
      """
      layer { name: "p" type: "Pooling3D" bottom: "in0" top: "p"
        pooling_param { pool: MAX kernel_size: 2 kernel_depth: 1 stride: 2 temporal_stride: 1 } }
      """),
    example("of the whole", "pool: AVE global_pooling: true"),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.distinct([1, 2, 4, 5, 6])],
      #"layer { name: "p" type: "Pooling3D" bottom: "in0" top: "p" pooling3d_param { \#(param) } }"#)
  }
}
