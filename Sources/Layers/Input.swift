import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Blobs that the caller fills: the entry of deploy nets.
///
/// One `shape` for all tops or one for each. Each top keeps its values from pass to pass.
///
/// Without a shape a net cannot run; `mtl check` guesses it.
package struct Input: AbsentSourceLayer {
  package static let type = "Input"
  package static let parameterFields: [String]? = ["input_param"]
  package static let role = LayerRole.data
  package static let bottomCount = 0...0
  package static let topCount = 1...Int.max
  package static let examples: [LayerExample] = []

  private let fields: LayerFields
  private let tops: [Shape]

  package init(_ fields: LayerFields) throws {
    let written = fields.parameter.inputParam.shape
    let count = fields.parameter.top.count
    self.fields = fields
    guard written.count <= 1 || written.count == count else { throw Input.miscount(fields) }
    for (index, shape) in written.enumerated() {
      if let bad = shape.dim.first(where: { $0 < 0 || $0 > Int64(Int32.max) }) {
        throw fields.fault("an input cannot have extent \(bad)", at: "input_param.shape[\(index)]")
      }
    }
    tops = written.isEmpty ? [] : (0..<count).map { Shape(written[written.count == 1 ? 0 : $0].dim.map(Int.init)) }
  }

  private static func miscount(_ fields: LayerFields) -> Diagnostic {
    fields.fault(
      "give one input_param shape for all tops or one for each: \(fields.parameter.inputParam.shape.count) shapes for "
        + "\(fields.parameter.top.count) tops", at: "input_param")
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard !tops.isEmpty else { throw Input.miscount(fields) }
    return LayerShapes(tops: tops)
  }

  package func outlinesWithoutSource(bottoms: [Shape]) -> [TopOutline]? {
    tops.isEmpty ? fields.parameter.top.map { _ in .unknown } : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    for index in tops.indices { binding.top(index).dataRegion.isPinned = true }
    return Run()
  }

  private final class Run: LayerRun {
    func forward() {}
  }
}
