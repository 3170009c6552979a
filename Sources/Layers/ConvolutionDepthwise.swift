import CaffeSchema
import Compute
import Nets
import Tensors

/// Convolution, under the name that forks give it when each channel is a group of its own: `num_output` filters over as
/// many channels, `group` being left out.
package struct ConvolutionDepthwise: ConvolutionLayer {
  package static let type = "ConvolutionDepthwise"
  package static let parameterFields: [String]? = ["convolution_param"]
  package static let bottomCount = 1...Int.max
  package static let topCount = 1...Int.max

  private let convolution: DepthwiseFields

  package init(_ fields: LayerFields) throws { convolution = try DepthwiseFields(fields) }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try convolution.shapes(of: bottoms) }
  package func multiplyAdds(of bottoms: [Shape]) throws -> Int { try convolution.multiplyAdds(of: bottoms) }

  package func description(of bottoms: [Shape]) throws -> ConvolutionDescription {
    try convolution.description(of: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    convolution.rowwise(bottoms, along: axis)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try convolution.bind(binding) }

  package static let examples: [LayerExample] = [depthwiseExample(type)]
}

/// A convolution whose groups are the channels unless the file says otherwise.
struct DepthwiseFields: Sendable {
  private let convolution: ConvolutionFields

  init(_ fields: LayerFields) throws {
    var parameter = fields.parameter
    if !parameter.convolutionParam.hasGroup { parameter.convolutionParam.group = parameter.convolutionParam.numOutput }
    convolution = try ConvolutionFields(
      LayerFields(parameter: parameter, places: fields.places, phase: fields.phase, paths: fields.paths),
      isTransposed: false)
  }

  func shapes(of bottoms: [Shape]) throws -> LayerShapes { try convolution.shapes(of: bottoms) }
  func multiplyAdds(of bottoms: [Shape]) throws -> Int { try convolution.multiplyAdds(of: bottoms) }
  func bind(_ binding: LayerBinding) throws -> any LayerRun { try convolution.bind(binding) }

  func description(of bottoms: [Shape]) throws -> ConvolutionDescription { try convolution.description(of: bottoms) }

  func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { convolution.rowwise(bottoms, along: axis) }
}

func depthwiseExample(_ type: String) -> LayerExample {
  LayerExample(
    "3x3", inputs: [.normal([2, 4, 5, 5])],
    """
    layer { name: "conv" type: "\(type)" bottom: "in0" top: "conv" convolution_param { num_output: 4 kernel_size: 3
      pad: 1 weight_filler { type: "gaussian" std: 0.5 } } }
    """)
}
