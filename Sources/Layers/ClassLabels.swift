import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Labels that name a class for each position of a score blob: the second bottom of classification losses and metrics.
///
/// Scores outer x classes x inner along the class axis, labels outer x inner. A NaN label means 'not labelled', and so
/// does `ignore_label`.
struct ClassLabels {
  let outer: Int
  let classes: Int
  let inner: Int
  let ignored: Int?
  /// Where a pass decides how many records there are: labels of others count for nothing.
  private var rows: LiveRows?
  private let records: Int
  private let identity: Diagnostic.Layer
  private let name: String

  init(_ fields: LayerFields, scores: Shape, labels: Shape, axis: Int, ignored: Int?) throws {
    let axis = try scores.canonicalAxis(axis)
    outer = scores.count(..<axis)
    classes = scores[axis]
    inner = scores.count((axis + 1)...)
    self.ignored = ignored
    records = max(1, scores.extent(0))
    identity = fields.identity
    name = fields.parameter.bottom[1]
    guard labels.count == outer * inner else {
      throw fields.fault(
        .badShape,
        "the scores \(scores) need \(outer * inner) labels, one for each position off axis \(axis), but the labels are \(labels)",
        at: "bottom[1]")
    }
  }

  /// One label for each record, whose further axes are all classes.
  init(_ fields: LayerFields, ofRecords bottoms: [Shape]) throws {
    guard bottoms[0].rank >= 1 else { throw fields.fault(.badShape, "the scores have no axis of records") }
    let scores = Shape([bottoms[0][0], bottoms[0].count(1...)])
    try self.init(fields, scores: scores, labels: bottoms[1], axis: 1, ignored: nil)
  }

  /// The same for a blob of scores of which there may be fewer records than its shape says.
  func of(_ scores: Blob) -> ClassLabels {
    var copy = self
    copy.rows = scores.rows
    return copy
  }

  /// The extent of the axes before the classes, of the records that there are.
  var liveOuter: Int { rows.map { $0.count * (outer / records) } ?? outer }

  /// The class at a position, or nil when it is not labelled.
  ///
  /// - Throws: `badRecord` when the label is no class.
  @inline(__always)
  func label(_ labels: UnsafePointer<Float>, _ position: Int) throws -> Int? {
    let value = labels[position]
    if value.isNaN || position >= liveOuter * inner { return nil }
    // Cut to a whole number as the format does; out-of-range floats must not trap.
    let label = abs(value) < 0x1p30 ? Int(value) : Int(Int32.max)
    if label == ignored { return nil }
    guard label >= 0, label < classes else { throw outOfRange(value, position) }
    return label
  }

  /// What a batch has of labels, where `labelled` positions count.
  func counts(_ labels: UnsafePointer<Float>, labelled: Int) -> LabelCounts {
    let records = (0..<liveOuter).count { record in (0..<inner).contains { !labels[record * inner + $0].isNaN } }
    return LabelCounts(labelled: labelled, records: records)
  }

  private func outOfRange(_ value: Float, _ position: Int) -> Diagnostic {
    let place = inner == 1 ? "record \(position)" : "record \(position / inner), position \(position % inner),"
    return Diagnostic(
      .badRecord,
      "label \(value) of \(place) of the batch (blob '\(name)') is no class: there are \(classes), from 0 to \(classes - 1); "
        + "mark missing labels with NaN or ignore_label, and start counting at 0",
      layer: identity)
  }
}
