import Diagnostics
import HDF5Files
import Solvers
import Tasks
import Tensors

/// What an HDF5 file of data holds, such as HDF5Data reads and HDF5Output writes: its datasets, the values of a sample,
/// and the first rows of those that have few values a row.
struct DatasetInspection {
  let inspection: Inspection

  /// Values of a dataset that are looked at.
  private static let mostSampled = 50_000_000
  /// Values a row that are shown.
  private static let mostShown = 10

  init(_ file: HDF5File, shown: Int) throws {
    let names = try file.datasetNames()
    var table = TextTable([("dataset", false), ("shape", false)] + ValueSummary.columns.map { ($0, true) })
    var notes: [String] = []
    var nonFinite = 0
    for name in names {
      let dataset = try file.dataset(name)
      guard (try? dataset.checkIsNumeric()) != nil else {
        let text = try? dataset.string()
        table.add([name, "text"] + ValueSummary.columns.map { _ in "-" })
        if let text { notes.append("\(name): \(text)") }
        continue
      }
      let summary = try DatasetInspection.summary(dataset)
      nonFinite += summary.values.nonFinite
      table.add([name, Shape(dataset.shape).description] + summary.values.cells)
      if let rows = summary.sampledRows { notes.append("\(name): of the first \(CheckText.grouped(rows)) rows") }
      notes += try DatasetInspection.rows(dataset, shown)
    }
    let tail = notes.isEmpty ? "" : "\n\n" + notes.joined(separator: "\n")
    let head = "\(names.count) dataset\(names.count == 1 ? "" : "s")"
    inspection = Inspection(
      text: "\(head)\n\n\(table.text)\(tail)\(Inspection.warning(nonFinite))", nonFinite: nonFinite)
  }

  /// - Returns: the rows that were looked at, when those are not all.
  private static func summary(_ dataset: HDF5Dataset) throws -> (values: ValueSummary, sampledRows: Int?) {
    guard let all = dataset.shape.first, dataset.rowCount > 0 else {
      return (ValueSummary(try dataset.floats()), nil)
    }
    let rows = min(all, max(1, mostSampled / dataset.rowCount))
    let step = max(1, (1 << 20) / dataset.rowCount)
    var summary = ValueSummary()
    var line = ProgressLine("reading \(dataset.name):", unit: "rows")
    defer { line.clear() }
    var values = [Float](repeating: 0, count: min(step, rows) * dataset.rowCount)
    for start in stride(from: 0, to: rows, by: step) {
      let part = start..<min(start + step, rows)
      try values.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress else { return }
        try dataset.read(rows: part, into: base)
      }
      for value in values.prefix(part.count * dataset.rowCount) { summary.add(value) }
      line.update(part.upperBound, of: rows)
    }
    return (summary, rows < all ? rows : nil)
  }

  private static func rows(_ dataset: HDF5Dataset, _ shown: Int) throws -> [String] {
    guard let all = dataset.shape.first, (1...mostShown).contains(dataset.rowCount) else { return [] }
    let count = min(shown, all)
    var values = [Float](repeating: 0, count: count * dataset.rowCount)
    try values.withUnsafeMutableBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      try dataset.read(rows: 0..<count, into: base)
    }
    return (0..<count).map { row in
      let texts = values[row * dataset.rowCount..<(row + 1) * dataset.rowCount].map { logText($0) }
      return "\(dataset.name)[\(row)]: \(texts.joined(separator: " "))"
    }
  }
}
