import Nets
import Tensors

/// What a metric over a whole pass is made of: the rows of a batch, and what many rows amount to. `GatheringRun` does
/// the rest.
protocol GatheringMetric {
  /// The numbers in a row.
  var width: Int { get }
  /// Adds a row for each record, pair or whatever the metric counts, of the batch that is in the bottoms.
  func gather(into rows: GatheredRows) throws
  /// The values of each top; 0 where the rows tell nothing.
  func values(over rows: GatheredRows) -> [[Float]]
  func labelledCount(in rows: GatheredRows) -> Int
  func curves(over rows: GatheredRows) -> [MetricCurve]
  func tables(over rows: GatheredRows) -> [MetricTable]
}

extension GatheringMetric {
  func labelledCount(in rows: GatheredRows) -> Int { rows.count }
  func curves(over rows: GatheredRows) -> [MetricCurve] { [] }
  func tables(over rows: GatheredRows) -> [MetricTable] { [] }
}

/// Runs a metric over a whole pass. Its tops hold what its batch alone amounts to.
final class GatheringRun: WholePassRun {
  private let metric: any GatheringMetric
  private let tops: [Blob]
  private let batch: GatheredRows
  var gathered: GatheredRows?

  init(_ metric: any GatheringMetric, _ tops: [Blob]) {
    self.metric = metric
    self.tops = tops
    batch = GatheredRows(width: metric.width)
  }

  var gatheredWidth: Int { metric.width }
  var labelledCount: Int { metric.labelledCount(in: batch) }

  func forward() throws {
    batch.removeAll()
    try metric.gather(into: batch)
    gathered?.append(contentsOf: batch)
    for (top, values) in zip(tops, metric.values(over: batch)) {
      for (index, value) in values.enumerated() { top.values[index] = value }
    }
  }

  func values(over rows: GatheredRows) -> [[Float]] { metric.values(over: rows) }
  func labelledCount(in rows: GatheredRows) -> Int { metric.labelledCount(in: rows) }
  func curves(over rows: GatheredRows) -> [MetricCurve] { metric.curves(over: rows) }
  func tables(over rows: GatheredRows) -> [MetricTable] { metric.tables(over: rows) }
}
