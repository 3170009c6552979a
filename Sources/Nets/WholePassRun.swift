/// A metric that is no mean over batches: a best threshold, a ranking, a share of a whole set.
///
/// In a test its forward adds rows of numbers to `gathered` besides computing the tops of its batch; when the test ends,
/// it is asked what they are over all rows. Outside of tests `gathered` is nil and nothing is kept.
package protocol WholePassRun: LossRun {
  /// The numbers in a row.
  var gatheredWidth: Int { get }
  /// Where forward adds a row for each record, pair or whatever the metric counts, in the order of the batch. Rows without
  /// a label are added too, so that rows go with records.
  var gathered: GatheredRows? { get set }
  /// What each top is over `rows`; 0 where they tell nothing.
  func values(over rows: GatheredRows) -> [[Float]]
  /// The rows that count.
  func labelledCount(in rows: GatheredRows) -> Int
  /// Pictures of what a number is too little for: ROC, cumulative errors.
  func curves(over rows: GatheredRows) -> [MetricCurve]
  /// What it tells of many things one by one: a line for each attribute.
  func tables(over rows: GatheredRows) -> [MetricTable]
}

/// Rows of numbers that a metric gathers over the passes of a test.
package final class GatheredRows {
  package let width: Int
  /// Row after row.
  package private(set) var values: [Float] = []

  package init(width: Int) { self.width = width }

  package var count: Int { width == 0 ? 0 : values.count / width }

  package subscript(_ row: Int) -> ArraySlice<Float> { values[(row * width)..<((row + 1) * width)] }

  package func append(_ row: some Sequence<Float>) {
    values += row
    precondition(width == 0 ? values.isEmpty : values.count % width == 0)
  }

  package func append(contentsOf other: GatheredRows) {
    precondition(other.width == width)
    values += other.values
  }

  package func removeLast(_ rows: Int) { values.removeLast(rows * width) }
  /// Keeps the memory for the next rows.
  package func removeAll() { values.removeAll(keepingCapacity: true) }
}

/// A table that a metric tells besides its numbers: a line of values for each of many things of one kind.
package struct MetricTable: Sendable {
  package struct Line: Sendable {
    package var name: String
    /// nil where there is nothing to tell of.
    package var values: [Double?]
    /// Of the records behind them.
    package var count: Int
  }

  /// Of the names, of each value, and of the count.
  package let heads: [String]
  package private(set) var lines: [Line] = []

  package init(_ heads: [String]) { self.heads = heads }

  package mutating func add(_ name: String, _ values: [Double?], count: Int) {
    precondition(values.count == heads.count - 2)
    lines.append(Line(name: name, values: values, count: count))
  }
}

/// A curve that a metric tells besides its numbers.
package struct MetricCurve: Sendable {
  package struct Axis: Sendable {
    package var label: String
    package var isLogarithmic: Bool

    package init(_ label: String, isLogarithmic: Bool = false) {
      self.label = label
      self.isLogarithmic = isLogarithmic
    }
  }

  /// Of the curve among those of its layer, fit for a file's name: `roc`.
  package var name: String
  package var title: String
  package var x: Axis
  package var y: Axis
  package var points: [(x: Float, y: Float)]

  package init(_ name: String, title: String, x: Axis, y: Axis, points: [(x: Float, y: Float)]) {
    self.name = name
    self.title = title
    self.x = x
    self.y = y
    self.points = points
  }
}
