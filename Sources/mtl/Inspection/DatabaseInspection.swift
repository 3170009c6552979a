import CaffeSchema
import Diagnostics
import Records
import Solvers
import Tasks
import Tensors

/// What a database of records holds: how many there are, the first of them, and the labels of a sample.
struct DatabaseInspection {
  let inspection: Inspection

  private static let mostSampled = 10_000

  init(_ path: String, shown: Int) throws {
    let database = try openDatabase(path)
    let cursor = try database.makeCursor()
    var table = TextTable([
      ("record", true), ("key", false), ("shape", false), ("kept as", false), ("label", true), ("least", true),
      ("most", true), ("mean", true),
    ])
    var labels = ValueSummary()
    var nonFinite = 0
    let sampled = min(database.count, DatabaseInspection.mostSampled)
    for position in 0..<sampled {
      let record = try cursor.next()
      guard let datum = try? Datum(serializedBytes: Array(record.value)) else {
        throw Diagnostic(
          .badRecord, "record '\(String(decoding: record.key, as: UTF8.self))' of database '\(path)' is no Datum")
      }
      labels.add(Float(datum.label))
      let values = DatabaseInspection.values(datum)
      nonFinite += values.nonFinite
      guard position < shown else { continue }
      let shape: Shape = [Int(datum.channels), Int(datum.height), Int(datum.width)]
      let range =
        values.count > 0 ? [logText(values.least), logText(values.most), logText(values.mean)] : ["-", "-", "-"]
      table.add(
        [
          "\(position)", String(decoding: record.key, as: UTF8.self), shape.description,
          datum.encoded ? "encoded image" : datum.data.isEmpty ? "floats" : "bytes", "\(datum.label)",
        ] + range)
    }
    let sample = sampled < database.count ? " in the first \(CheckText.grouped(sampled))" : ""
    let range = labels.count > 0 ? "\nlabels from \(Int(labels.least)) to \(Int(labels.most))\(sample)" : ""
    let missing =
      nonFinite > 0 ? "\n\(CheckText.grouped(nonFinite)) values are not finite\(sample): missing labels" : ""
    inspection = Inspection(
      text: "\(CheckText.grouped(database.count)) records\(range)\(missing)\n\n\(table.text)", nonFinite: nonFinite)
  }

  private static func values(_ datum: Datum) -> ValueSummary {
    if datum.encoded { return ValueSummary() }
    return datum.data.isEmpty ? ValueSummary(datum.floatData) : ValueSummary(datum.data.map(Float.init))
  }
}
