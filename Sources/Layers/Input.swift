import CaffeSchema
import Nets
import Tensors

/// Blobs that the caller fills: the entry of deploy nets.
///
/// One `shape` for all tops or one for each. Each top keeps its values from pass to pass.
package struct Input: Layer {
  package static let type = "Input"
  package static let parameterFields: [String]? = ["input_param"]
  package static let role = LayerRole.data
  package static let bottomCount = 0...0
  package static let topCount = 1...Int.max
  package static let examples: [LayerExample] = []

  private let tops: [Shape]

  package init(_ fields: LayerFields) throws {
    let written = fields.parameter.inputParam.shape
    let count = fields.parameter.top.count
    guard written.count == 1 || written.count == count else {
      throw fields.fault(
        "give one input_param shape for all tops or one for each: \(written.count) shapes for \(count) tops",
        at: "input_param")
    }
    for (index, shape) in written.enumerated() {
      if let bad = shape.dim.first(where: { $0 < 0 || $0 > Int64(Int32.max) }) {
        throw fields.fault("an input cannot have extent \(bad)", at: "input_param.shape[\(index)]")
      }
    }
    tops = (0..<count).map { Shape(written[written.count == 1 ? 0 : $0].dim.map(Int.init)) }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { LayerShapes(tops: tops) }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    for index in tops.indices { binding.top(index).dataRegion.isPinned = true }
    return Run()
  }

  private final class Run: LayerRun {
    func forward() {}
  }
}
