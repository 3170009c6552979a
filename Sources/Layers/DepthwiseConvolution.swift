import CaffeSchema
import Compute
import Nets
import Tensors

/// Convolution, under the name that forks give it when each channel is a group of its own (`group` and `num_output` are
/// those of the file; a group that is left out is the number of channels).
package struct DepthwiseConvolution: ConvolutionLayer {
  package static let type = "DepthwiseConvolution"
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
