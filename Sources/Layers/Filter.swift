import Diagnostics
import Nets
import Tensors

/// Lets through the records whose selector (the last bottom) is not 0. Its tops have as many records as the values of
/// the selector say, anew in every pass; nets here have fixed shapes, so it is refused when the net is bound.
package struct Filter: Layer {
  package static let type = "Filter"
  package static let bottomCount = 2...Int.max
  package static let topCount = 1...Int.max
  package static let examples: [LayerExample] = []

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    let (bottoms, tops) = (fields.parameter.bottom.count, fields.parameter.top.count)
    guard tops == bottoms - 1 else {
      throw fields.fault(
        "needs a top for each bottom but the selector: \(bottoms - 1), but \(tops) are given", at: "top[0]")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index < fields.parameter.bottom.count - 1 }

  /// The shapes when every record is let through.
  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let records = bottoms[bottoms.count - 1].extent(0)
    guard bottoms[bottoms.count - 1].count == records else {
      throw fields.fault(
        .badShape, "the selector needs one value for each record, but it is \(bottoms[bottoms.count - 1])")
    }
    if let other = bottoms.first(where: { $0.extent(0) != records }) {
      throw fields.fault(.badShape, "a bottom \(other) has other records than the selector, which has \(records)")
    }
    return LayerShapes(tops: Array(bottoms.dropLast()))
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    throw fields.fault(
      .unsupported,
      "makes blobs whose number of records changes from pass to pass, and shapes are fixed here; "
        + "mark the records to leave out with label NaN (or ignore_label) instead, which every loss and metric skips")
  }
}
