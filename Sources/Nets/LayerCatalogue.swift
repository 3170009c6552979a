import CaffeSchema
import Diagnostics

/// The layer types that a program knows, by the name in the prototxt.
package struct LayerCatalogue: Sendable {
  private let types: [String: any Layer.Type]

  package init(_ layers: [any Layer.Type]) {
    types = Dictionary(layers.map { ($0.type, $0) }, uniquingKeysWith: { first, _ in first })
    precondition(types.count == layers.count, "two layers have one type name")
  }

  package var all: [any Layer.Type] { types.values.sorted { $0.type < $1.type } }

  /// Decodes a layer.
  ///
  /// - Throws: `unknownLayerType` with the nearest known type; whatever the layer's own `init` throws.
  package func define(_ fields: LayerFields) throws -> any Layer {
    guard fields.parameter.hasType, !fields.parameter.type.isEmpty else {
      throw Diagnostic(
        .unknownLayerType, "layer '\(fields.name)' has no type; add one, such as type: \"Convolution\"",
        at: fields.location())
    }
    guard let type = types[fields.parameter.type] else {
      let meant = nearestName(to: fields.parameter.type, among: types.keys).map { "; did you mean '\($0)'?" } ?? ""
      throw Diagnostic(
        .unknownLayerType, "layer '\(fields.name)': unknown layer type '\(fields.parameter.type)'\(meant)",
        at: fields.location("type"))
    }
    try checkCount(of: "bottom", fields.parameter.bottom.count, type.bottomCount, fields)
    try checkCount(of: "top", fields.parameter.top.count, topsWritten(type), fields)
    return try type.init(fields)
  }

  /// A loss or metric may leave its top out: it gets one without a name.
  private func topsWritten(_ type: any Layer.Type) -> ClosedRange<Int> {
    type.role == .loss ? 0...type.topCount.upperBound : type.topCount
  }

  private func checkCount(of kind: String, _ count: Int, _ allowed: ClosedRange<Int>, _ fields: LayerFields) throws {
    guard !allowed.contains(count) else { return }
    let wanted =
      allowed.lowerBound == allowed.upperBound
      ? "\(allowed.lowerBound)"
      : allowed.upperBound == .max
        ? "at least \(allowed.lowerBound)" : "\(allowed.lowerBound) to \(allowed.upperBound)"
    throw fields.fault(
      .badParameter,
      "takes \(wanted) \(kind)\(wanted == "1" ? "" : "s"), but \(count) \(count == 1 ? "is" : "are") given",
      at: count > 0 ? "\(kind)[0]" : "")
  }
}
