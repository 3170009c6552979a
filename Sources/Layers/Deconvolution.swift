import CaffeSchema
import Compute
import Nets
import Tensors

/// The transpose of a convolution: each value of the bottom spreads over a window of the top.
///
/// Bottom N x C x H x W, top N x num_output x H' x W' with H' = stride (H - 1) + dilation (kernel - 1) + 1 - 2 pad.
/// Weights C x num_output/group x kernel, bias num_output. Several bottoms of one shape get a top each and share the
/// weights. Filler `bilinear` makes it enlarge by interpolation (Long, Shelhamer, Darrell, CVPR 2015).
package struct Deconvolution: ConvolutionLayer {
  package static let type = "Deconvolution"
  package static let parameterFields: [String]? = ["convolution_param"]
  package static let bottomCount = 1...Int.max
  package static let topCount = 1...Int.max

  private let convolution: ConvolutionFields

  package init(_ fields: LayerFields) throws {
    convolution = try ConvolutionFields(fields, isTransposed: true)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try convolution.shapes(of: bottoms) }

  package func multiplyAdds(of bottoms: [Shape]) throws -> Int { try convolution.multiplyAdds(of: bottoms) }

  package func description(of bottoms: [Shape]) throws -> ConvolutionDescription {
    try convolution.description(of: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    convolution.rowwise(bottoms, along: axis)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try convolution.bind(binding) }

  package static let examples: [LayerExample] = [
    example("4x4, stride 2", [2, 3, 4, 5], "num_output: 4 kernel_size: 4 stride: 2 pad: 1"),
    example("in groups", [2, 4, 4, 3], "num_output: 6 kernel_size: 3 stride: 2 group: 2"),
    example("dilated, without bias", [1, 2, 4, 4], "num_output: 3 kernel_size: 2 dilation: 2 bias_term: false"),
    example("depthwise, 16 channels", [1, 16, 3, 3], "num_output: 16 kernel_size: 4 stride: 2 pad: 1 group: 16"),
    example("one axis", [2, 3, 5], "num_output: 2 kernel_size: 3 stride: 2"),
  ]

  private static func example(_ name: String, _ shape: Shape, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal(shape)],
      """
      layer { name: "deconv" type: "Deconvolution" bottom: "in0" top: "deconv" convolution_param { \(param)
        weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 } } }
      """)
  }
}
