import CaffeSchema
import Nets
import Tensors

/// EuclideanLoss under the name that some forks gave it: sum over all values of (a - b)^2 / (2 N), N the batch.
package struct L2Loss: Layer {
  package static let type = "L2Loss"
  package static let parameterFields: [String]? = []
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let loss: EuclideanLoss

  package init(_ fields: LayerFields) throws { loss = try EuclideanLoss(fields) }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try loss.shapes(of: bottoms) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { loss.rowwise(bottoms, along: axis) }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try loss.bind(binding) }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two blobs", inputs: [.normal([3, 4]), .normal([3, 4])],
      #"layer { name: "loss" type: "L2Loss" bottom: "in0" bottom: "in1" top: "loss" }"#)
  ]
}
