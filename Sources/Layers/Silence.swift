import Nets
import Tensors

/// Takes bottoms that nobody reads out of the net's outputs. It asks for no gradient.
package struct Silence: Layer {
  package static let type = "Silence"
  package static let parameterFields: [String]? = []
  package static let bottomCount = 1...Int.max
  package static let topCount = 0...0
  package static let examples: [LayerExample] = []

  package init(_ fields: LayerFields) throws {}

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { LayerShapes(tops: []) }
  package func takesGradient(bottom index: Int) -> Bool { false }
  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { .indifferent }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { ViewRun() }
}
