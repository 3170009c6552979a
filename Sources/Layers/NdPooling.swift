import Compute
import Nets
import Tensors

/// Pooling over one to three axes under the name that video-caffe gives it: `kernel_shape` and `stride_shape`.
package struct NdPooling: PoolingLayer {
  package static let type = "NdPooling"
  package static let parameterFields: [String]? = ["pooling_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...2

  private let pooling: Pooling

  package init(_ fields: LayerFields) throws { pooling = try Pooling(fields) }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try pooling.shapes(of: bottoms) }

  package var isRandom: Bool { pooling.isRandom }
  package func description(of bottom: Shape) throws -> PoolingDescription { try pooling.description(of: bottom) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { pooling.rowwise(bottoms, along: axis) }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try pooling.bind(binding) }

  package static let examples: [LayerExample] =
    [
      LayerExample(
        "three axes", inputs: [.distinct([1, 2, 4, 5, 5])],
        """
        layer { name: "p" type: "NdPooling" bottom: "in0" top: "p" pooling_param { pool: MAX
          kernel_shape { dim: 2 dim: 3 dim: 3 } stride_shape { dim: 2 dim: 2 dim: 2 } } }
        """)
    ]
    + Pooling.examples.map { example in
      var copy = example
      copy.prototxt = example.prototxt.replacing(#"type: "Pooling""#, with: #"type: "NdPooling""#)
      return copy
    }
}
