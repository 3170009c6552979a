import Solvers
import Tasks

/// The times of a net as text.
struct TimeTable {
  let rows: [TimedRow]
  let times: StepTimes
  let rates: MachineRates

  /// A line for each row, times in ms: `limit` is the time at the rate of the machine's matrix product or, without
  /// products, at the rate of its copies; `GB/s` stands where memory sets the time.
  var layers: String {
    var table = TextTable([
      ("layer", false), ("type", false), ("forward", true), ("min", true), ("backward", true), ("min", true),
      ("share", true), ("limit", true), ("GFLOP/s", true), ("backward", true), ("of sgemm", true), ("GB/s", true),
    ])
    let whole = rows.flatMap(\.directions).reduce(0) { $0 + median($1.seconds) }
    for row in rows { table.add(cells(of: row, whole: whole)) }
    return table.text
  }

  private func cells(of row: TimedRow, whole: Double) -> [String] {
    let seconds = row.directions.reduce(0) { $0 + median($1.seconds) }
    let multiplyAdds = row.directions.reduce(0) { $0 + $1.multiplyAdds }
    let bytes = row.directions.reduce(0) { $0 + $1.byteCount }
    let limit = row.directions.reduce(0) { $0 + rates.limit(multiplyAdds: $1.multiplyAdds, byteCount: $1.byteCount) }
    func time(_ direction: TimedRow.Direction?, _ value: ([Double]) -> Double) -> String {
      direction.map { milliseconds(value($0.seconds)) } ?? "-"
    }
    func rate(_ direction: TimedRow.Direction?) -> String {
      guard let direction, direction.multiplyAdds > 0 else { return "-" }
      return fixedText(2e-9 * Double(direction.multiplyAdds) / median(direction.seconds), decimals: 0)
    }
    let ofProduct = 2 * Double(multiplyAdds) / seconds / rates.product
    // Below ten microseconds a step's rate is that of its call.
    let showsBytes = multiplyAdds == 0 && bytes > 0 && seconds > 1e-5
    return [
      row.name, row.type, time(row.forward, median), time(row.forward) { $0.min() ?? 0 }, time(row.backward, median),
      time(row.backward) { $0.min() ?? 0 }, percent(seconds / whole), bytes > 0 ? milliseconds(limit) : "-",
      rate(row.forward), rate(row.backward), multiplyAdds > 0 ? percent(ofProduct) : "-",
      showsBytes ? fixedText(1e-9 * Double(bytes) / seconds, decimals: 1) : "-",
    ]
  }

  /// Whole passes in ms; the last row without the layers that make the inputs.
  var totals: String {
    var table = TextTable([
      ("pass", false), ("median", true), ("min", true), ("limit", true), ("GFLOP/s", true), ("of sgemm", true),
    ])
    let both = zip(times.total(times.forward), times.total(times.backward)).map { $0 + $1 }
    let data = times.total(rows.filter(\.isData).compactMap { $0.forward?.seconds })
    let worked = rows.filter { !$0.isData }
    let forward = worked.compactMap(\.forward)
    let backward = worked.compactMap(\.backward)
    table.add(cells("forward", times.total(times.forward), forward))
    table.add(cells("backward", times.total(times.backward), backward))
    table.add(cells("forward+backward", both, forward + backward))
    if rows.contains(where: \.isData) {
      table.add(cells("without data layers", zip(both, data).map { $0 - $1 }, forward + backward))
    }
    return table.text
  }

  private func cells(_ name: String, _ seconds: [Double], _ work: [TimedRow.Direction]) -> [String] {
    let multiplyAdds = work.reduce(0) { $0 + $1.multiplyAdds }
    let limit = work.reduce(0) { $0 + rates.limit(multiplyAdds: $1.multiplyAdds, byteCount: $1.byteCount) }
    let rate = 2 * Double(multiplyAdds) / median(seconds)
    let hasRate = multiplyAdds > 0
    return [
      name, milliseconds(median(seconds)), milliseconds(seconds.min() ?? 0), milliseconds(limit),
      hasRate ? fixedText(1e-9 * rate, decimals: 0) : "-", hasRate ? percent(rate / rates.product) : "-",
    ]
  }

  private func milliseconds(_ seconds: Double) -> String { fixedText(1000 * seconds, decimals: 3) }

  private func percent(_ part: Double) -> String { "\(fixedText(100 * (part.isFinite ? part : 0), decimals: 1)) %" }
}

/// The value in the middle, the mean of two where there is none; 0 of nothing.
func median(_ values: [Double]) -> Double {
  guard !values.isEmpty else { return 0 }
  let sorted = values.sorted()
  let middle = sorted.count / 2
  return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
