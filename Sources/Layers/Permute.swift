import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The bottom with its axes in another order: axis i of the top is axis `order[i]` of the bottom; axes that are not
/// named follow in their order. Of SSD (Liu et al., ECCV 2016).
package struct Permute: Layer {
  package static let type = "Permute"
  package static let parameterFields: [String]? = ["permute_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let named: [Int]

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    named = fields.parameter.permuteParam.order.map(Int.init)
    guard Set(named).count == named.count else {
      throw fields.fault("order names an axis twice", at: "permute_param.order[0]")
    }
  }

  private func order(_ bottom: Shape) throws -> [Int] {
    if let index = named.firstIndex(where: { $0 >= bottom.rank }) {
      throw fields.fault(
        .badShape, "order names axis \(named[index]), but the bottom is \(bottom)", at: "permute_param.order[\(index)]")
    }
    return named + (0..<bottom.rank).filter { !named.contains($0) }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    LayerShapes(tops: [Shape(try order(bottoms[0]).map { bottoms[0][$0] })])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let order = try order(binding.bottomShapes[0])
    if order == Array(order.indices) {
      _ = binding.topViewing(binding.bottom(0), 0)
      binding.backwardReads()
      return ViewRun()
    }
    return Rearrangement(binding.bottomShapes[0].dims).permuted(order).bind(binding)
  }

  package static let examples: [LayerExample] = [
    example("channels last", "order: 0 order: 2 order: 3 order: 1", [2, 3, 4, 5]),
    example("one axis named", "order: 1", [2, 3, 4]),
    example("nothing", "order: 0 order: 1", [2, 3]),
  ]

  private static func example(_ name: String, _ param: String, _ shape: Shape) -> LayerExample {
    LayerExample(
      name, inputs: [.normal(shape)],
      #"layer { name: "p" type: "Permute" bottom: "in0" top: "p" permute_param { \#(param) } }"#)
  }
}
