import Nets
import Tensors

/// L1Loss under the name of another fork: the sum of |a - b| over N, the batch.
package struct ManhattanLoss: Layer {
  package static let type = "ManhattanLoss"
  package static let parameterFields: [String]? = []
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let loss: L1Loss

  package init(_ fields: LayerFields) throws { loss = try L1Loss(fields) }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try loss.shapes(of: bottoms) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { loss.rowwise(bottoms, along: axis) }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try loss.bind(binding) }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two blobs", inputs: [.uniform([3, 4], 0...1), .uniform([3, 4], 2...3)],
      #"layer { name: "loss" type: "ManhattanLoss" bottom: "in0" bottom: "in1" top: "loss" }"#)
  ]
}
