import Diagnostics
import Foundation
import Solvers
import Tasks

/// The tables of an experiment.
extension ExperimentResults {
  private var heads: [String] {
    ["training"] + tasks.map(\.task) + ["delta_m"] + (tellsErrors ? ["of errors"] : []) + ["on validation", "time"]
  }

  private var tellsErrors: Bool { rows.contains { $0.errorDeltaM != nil } }

  private func cells(_ row: Row) -> [String] {
    let isAlone = row.validationDeltaM == nil && row.deltaM == nil && row.name == ExperimentResults.alone
    func share(_ estimate: Estimate?) -> String {
      guard estimate != nil else { return isAlone ? "0 %" : "-" }
      return ExperimentResults.text(estimate, decimals: 2, factor: 100, sign: true) + " %"
    }
    var cells = [row.name + (row.isBest ? " *" : "")]
    for metric in row.metrics { cells.append(ExperimentResults.text(metric, decimals: 4, factor: 1)) }
    cells.append(share(row.deltaM))
    if tellsErrors { cells.append(share(row.errorDeltaM)) }
    cells.append(share(row.validationDeltaM))
    cells.append(row.seconds.map { fixedText($0, decimals: 1) + " s" } ?? "-")
    return cells
  }

  private static func text(_ estimate: Estimate?, decimals: Int, factor: Double, sign: Bool = false) -> String {
    guard let estimate else { return "-" }
    let mean = fixedText(estimate.mean * factor, decimals: decimals)
    let margin = estimate.margin.map { " ±" + fixedText($0 * factor, decimals: decimals) } ?? ""
    return (sign && estimate.mean >= 0 ? "+" : "") + mean + margin
  }

  /// Tables of the settings, one after the other, each with its name.
  private func tables(_ table: ([Row]) -> String) -> String {
    var settings: [String] = []
    for row in rows where !settings.contains(row.setting) { settings.append(row.setting) }
    return settings.map { setting in
      (setting.isEmpty ? "" : setting + "\n\n") + table(rows.filter { $0.setting == setting })
    }.joined(separator: "\n\n")
  }

  private var notes: [String] {
    let seeds = rows.first?.seeds.map { String($0.seed) }.joined(separator: ", ") ?? ""
    let metrics = tasks.map { "\($0.metric)\($0.lowerIsBetter ? " (lower is better)" : "")" }
    let chosen = rows.filter { !$0.ways.isEmpty }.map { row in
      let ways = zip(tasks, row.ways).map { "\($0.task) \($1)" }.joined(separator: ", ")
      return
        "\(ExperimentResults.alone)\(row.setting.isEmpty ? "" : " (\(row.setting))"), the best on the validation part: "
        + ways
    }
    let failures = rows.flatMap { row in row.failures.map { "failed: \(row.name), \($0)" } }
    return [
      "mean and 95 % interval over seeds \(seeds); metrics: \(metrics.joined(separator: ", "))",
      "delta_m: mean over tasks of the relative gain over the net of that task alone, same seed"
        + (tellsErrors ? "; of errors: with error rates, 1 - accuracy, in the place of accuracies" : ""),
      "* best on the validation part", "time: of one run; of tasks alone, of the nets of all tasks together",
    ] + chosen + failures
  }

  var text: String {
    let columns = heads.enumerated().map { (head: $1, isNumber: $0 > 0) }
    let all = tables { rows in
      var table = TextTable(columns)
      for row in rows { table.add(cells(row)) }
      return table.text
    }
    return all + "\n\n" + notes.joined(separator: "\n")
  }

  var markdown: String {
    func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
    let rule = "|---|" + String(repeating: "---:|", count: heads.count - 1)
    let all = tables { rows in
      let lines = [line(heads), rule] + rows.map { line(cells($0)) }
      return lines.joined(separator: "\n")
    }
    // A star at the start would begin a list.
    let below = notes.map { $0.hasPrefix("*") ? "\\" + $0 : $0 }
    return all + "\n\n" + below.joined(separator: "  \n")
  }

  /// Sorted fields, indented.
  func json() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return try encoder.encode(self) + Data("\n".utf8)
  }
}
