import Compute
import Nets
import Tensors

/// Convolution over one to three axes under the name that video-caffe gives it: `kernel_shape`, `stride_shape` and
/// `pad_shape` have an extent for each axis.
package struct NdConvolution: ConvolutionLayer {
  package static let type = "NdConvolution"
  package static let parameterFields: [String]? = ["convolution_param"]
  package static let bottomCount = 1...Int.max
  package static let topCount = 1...Int.max

  private let convolution: ConvolutionFields

  package init(_ fields: LayerFields) throws { convolution = try ConvolutionFields(fields, isTransposed: false) }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try convolution.shapes(of: bottoms) }

  package func description(of bottoms: [Shape]) throws -> ConvolutionDescription {
    try convolution.description(of: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    convolution.rowwise(bottoms, along: axis)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try convolution.bind(binding) }

  package static let examples: [LayerExample] =
    [
      LayerExample(
        "three axes", inputs: [.normal([1, 2, 4, 5, 5])],
        """
        layer { name: "c" type: "NdConvolution" bottom: "in0" top: "c" convolution_param { num_output: 3
          kernel_shape { dim: 2 dim: 3 dim: 3 } stride_shape { dim: 1 dim: 2 dim: 2 } pad_shape { dim: 0 dim: 1 dim: 1 }
          weight_filler { type: "gaussian" std: 0.5 } } }
        """)
    ]
    + Convolution.examples.map { example in
      var copy = example
      copy.prototxt = example.prototxt.replacing(#"type: "Convolution""#, with: #"type: "NdConvolution""#)
      return copy
    }
}
