/// A table of text with aligned columns, for terminals and files.
package struct TextTable {
  private var rows: [[String]]
  private let alignsRight: [Bool]

  /// - Parameter columns: the heads, and whether the column is of numbers.
  package init(_ columns: [(head: String, isNumber: Bool)]) {
    rows = [columns.map(\.head)]
    alignsRight = columns.map(\.isNumber)
  }

  package mutating func add(_ cells: [String]) {
    precondition(cells.count == alignsRight.count)
    rows.append(cells)
  }

  /// The lines, the head underlined.
  package var text: String {
    let widths = alignsRight.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    var lines = rows.map { row in
      row.indices.map { column in
        let gap = String(repeating: " ", count: widths[column] - row[column].count)
        return alignsRight[column] ? gap + row[column] : row[column] + gap
      }.joined(separator: "  ")
    }
    lines.insert(widths.map { String(repeating: "-", count: $0) }.joined(separator: "  "), at: 1)
    return lines.map { line in
      var line = line
      while line.last == " " { line.removeLast() }
      return line
    }.joined(separator: "\n")
  }
}
