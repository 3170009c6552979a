import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The bottom with its axes in another order: axis i of the top is axis `dim[i]` of the bottom; all axes are named. Of
/// CTPN; `Permute` does the same.
package struct Transpose: Layer {
  package static let type = "Transpose"
  package static let parameterFields: [String]? = ["transpose_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  private func order(_ bottom: Shape) throws -> [Int] {
    let order = fields.parameter.transposeParam.dim.map(Int.init)
    guard order.sorted() == Array(0..<bottom.rank) else {
      throw fields.fault(
        .badShape, "dim must name each of the \(bottom.rank) axes of the bottom \(bottom) once", at: "transpose_param")
    }
    return order
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    LayerShapes(tops: [Shape(try order(bottoms[0]).map { bottoms[0][$0] })])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? order(bottoms[0]))?.dropFirst(axis).first == axis ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    Rearrangement(binding.bottomShapes[0].dims).permuted(try order(binding.bottomShapes[0])).bind(binding)
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "three axes", inputs: [.normal([2, 3, 4])],
      #"layer { name: "t" type: "Transpose" bottom: "in0" top: "t" transpose_param { dim: 2 dim: 0 dim: 1 } }"#)
  ]
}
