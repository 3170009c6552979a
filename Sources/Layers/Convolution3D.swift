import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Convolution of N x C x L x H x W, as C3D (Tran, Bourdev, Fergus, Torresani, Paluri, ICCV 2015) and other forks for video
/// write it: `kernel_size`, `stride` and `pad` are for H and W, `kernel_depth`, `temporal_stride` and `temporal_pad` for L;
/// in `convolution3d_param` or in `convolution_param`.
package struct Convolution3D: ConvolutionLayer {
  package static let type = "Convolution3D"
  package static let parameterFields: [String]? = ["convolution3d_param", "convolution_param"]
  package static let bottomCount = 1...Int.max
  package static let topCount = 1...Int.max

  private let convolution: ConvolutionFields

  package init(_ fields: LayerFields) throws {
    convolution = try ConvolutionFields(withDepth(fields), isTransposed: false)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try convolution.shapes(of: bottoms) }

  package func description(of bottoms: [Shape]) throws -> ConvolutionDescription {
    try convolution.description(of: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    convolution.rowwise(bottoms, along: axis)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try convolution.bind(binding) }

  package static let examples = depthExamples(type)
}

/// The transpose of Convolution3D.
package struct Deconvolution3D: ConvolutionLayer {
  package static let type = "Deconvolution3D"
  package static let parameterFields: [String]? = ["convolution3d_param", "convolution_param"]
  package static let bottomCount = 1...Int.max
  package static let topCount = 1...Int.max

  private let convolution: ConvolutionFields

  package init(_ fields: LayerFields) throws {
    convolution = try ConvolutionFields(withDepth(fields), isTransposed: true)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try convolution.shapes(of: bottoms) }

  package func description(of bottoms: [Shape]) throws -> ConvolutionDescription {
    try convolution.description(of: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    convolution.rowwise(bottoms, along: axis)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try convolution.bind(binding) }

  package static let examples = depthExamples(type)
}

/// The fields with a window of three axes in `convolution_param`.
private func withDepth(_ fields: LayerFields) throws -> LayerFields {
  var parameter = fields.parameter
  let place = parameter.hasConvolution3DParam ? "convolution3d_param" : "convolution_param"
  guard !(parameter.hasConvolution3DParam && parameter.hasConvolutionParam) else {
    throw fields.fault("give either convolution3d_param or convolution_param", at: "convolution3d_param")
  }
  var param = parameter.convolutionParam
  if parameter.hasConvolution3DParam {
    let own = parameter.convolution3DParam
    if own.hasNumOutput { param.numOutput = own.numOutput }
    param.biasTerm = own.biasTerm
    (param.kernelSize, param.pad, param.stride) = (own.hasKernelSize ? [own.kernelSize] : [], [own.pad], [own.stride])
    if own.hasKernelDepth { param.kernelDepth = own.kernelDepth }
    (param.temporalPad, param.temporalStride) = (own.temporalPad, own.temporalStride)
    if own.hasWeightFiller { param.weightFiller = own.weightFiller }
    if own.hasBiasFiller { param.biasFiller = own.biasFiller }
  }
  guard param.hasKernelDepth, param.kernelSize.count == 1, param.pad.count <= 1, param.stride.count <= 1,
    !param.hasKernelShape, !param.hasStrideShape, !param.hasPadShape
  else {
    throw fields.fault("give kernel_size and kernel_depth, and pad and stride once at most", at: place)
  }
  let (side, pad, stride) = (param.kernelSize[0], param.pad.first ?? 0, param.stride.first ?? 1)
  param.kernelSize = [param.kernelDepth, side, side]
  param.pad = [param.temporalPad, pad, pad]
  param.stride = [param.temporalStride, stride, stride]
  param.clearKernelDepth()
  param.clearTemporalPad()
  param.clearTemporalStride()
  parameter.convolutionParam = param
  return LayerFields(parameter: parameter, places: fields.places, phase: fields.phase, paths: fields.paths)
}

private func depthExamples(_ type: String) -> [LayerExample] {
  func example(_ name: String, _ param: String, _ fields: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([2, 2, 4, 5, 5])],
      """
      layer { name: "c" type: "\(type)" bottom: "in0" top: "c" \(param) { num_output: 2 \(fields)
        weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 } } }
      """)
  }
  return [
    example("as C3D has it", "convolution_param", "kernel_size: 3 kernel_depth: 2 pad: 1 temporal_pad: 1"),
    example(
      "grouped, dilated, padded", "convolution_param",
      "kernel_size: 3 kernel_depth: 2 pad: 2 temporal_pad: 1 group: 2 dilation: 2 bias_term: false"),
    example("with strides", "convolution3d_param", "kernel_size: 3 kernel_depth: 2 stride: 2 temporal_stride: 2"),
    example(
      "padded, without bias", "convolution3d_param",
      "kernel_size: 3 kernel_depth: 2 pad: 1 temporal_pad: 1 bias_term: false"),
    example(
      "with strides, in Caffe's message", "convolution_param",
      "kernel_size: 3 kernel_depth: 2 stride: 2 temporal_stride: 2"),
  ]
}
