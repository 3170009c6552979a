import CaffeSchema
import Diagnostics
import Tensors

/// That each pass decides how many rows a value has: which layer does, and along which axis they are counted. Values of
/// one source have the same rows.
package struct VaryingRows: Hashable, Sendable {
  /// Index of the layer.
  package var source: Int
  package var axis: Int
}

extension Graph {
  /// The rows of each top of a layer.
  ///
  /// - Throws: `unsupported` when bottoms have rows that vary and the layer needs all of them, or several that go with
  ///   each other.
  func varyingRows(
    of fields: LayerFields, _ definition: any Layer, _ bottoms: [Int], _ shapes: LayerShapes, at index: Int
  ) throws -> [VaryingRows?] {
    let given = bottoms.map { values[$0].rows }
    var tops = [VaryingRows?](repeating: nil, count: shapes.tops.count)
    for (position, rows) in given.enumerated() {
      guard let rows else { continue }
      let rowwise = definition.rowwise(bottoms.map { values[$0].shape }, along: rows.axis)
      guard let rowwise, rowwise.bottoms?.contains(position) ?? true else {
        throw refusal(fields, bottoms[position], at: position, rows, "and this layer needs a fixed number")
      }
      if rowwise.mustAgree,
        let other = given.indices.first(where: { rowwise.bottoms?.contains($0) ?? true && given[$0] != rows })
      {
        throw refusal(
          fields, bottoms[position], at: position, rows, "and bottom '\(values[bottoms[other]].name)' has other ones")
      }
      for top in tops.indices where rowwise.tops?.contains(top) ?? true { tops[top] = rows }
    }
    guard let axis = shapes.varyingAxis else { return tops }
    return tops.map { _ in VaryingRows(source: index, axis: axis) }
  }

  private func refusal(
    _ fields: LayerFields, _ bottom: Int, at position: Int, _ rows: VaryingRows, _ why: String
  ) -> Diagnostic {
    let source = nodes[rows.source].fields
    return fields.fault(
      .unsupported,
      "bottom '\(values[bottom].name)' has as many rows as each pass of layer '\(source.name)' (\(source.parameter.type)) "
        + "decides, \(why); take the layer out of that branch, or mark records with label NaN in place of leaving them out",
      at: "bottom[\(position)]", notes: [.init("'\(source.name)' is here", at: source.location())])
  }
}
