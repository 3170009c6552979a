import CaffeSchema
import Nets

/// The labels that a Data layer's database holds, for comparing them with what a net expects.
package struct RecordedLabels: Sendable {
  /// The smallest and the largest of each channel, missing ones left out; of a single label, one channel.
  package let ranges: [ClosedRange<Float>]
  /// Whether all records were read, not a sample of them.
  package let isWhole: Bool

  private static let mostRecords = 20_000
  private static let mostBytes = 64 << 20

  /// - Parameter top: 0 for the records' values, 1 for their integer labels.
  /// - Returns: nil when the database cannot be read, or holds no vectors of values.
  package init?(_ layer: DataLayer, top: Int) {
    guard let database = try? layer.database(), let cursor = try? database.makeCursor(), database.count > 0,
      let size = try? cursor.record(at: 0).value.count
    else { return nil }
    let affordable = max(200, RecordedLabels.mostBytes / max(1, size))
    let sample = min(database.count, RecordedLabels.mostRecords, affordable)
    var ranges: [ClosedRange<Float>?] = []
    for step in 0..<sample {
      let position = step * database.count / sample
      guard let record = try? cursor.record(at: position),
        let datum = try? Datum(serializedBytes: Array(record.value)), let labels = labels(datum, top: top)
      else { return nil }
      if ranges.isEmpty { ranges = labels.map { _ in nil } }
      guard labels.count == ranges.count else { return nil }
      for (channel, label) in labels.enumerated() where label.isFinite {
        let known = ranges[channel] ?? label...label
        ranges[channel] = min(known.lowerBound, label)...max(known.upperBound, label)
      }
    }
    self.ranges = ranges.map { $0 ?? 0...0 }
    isWhole = sample == database.count
  }
}

private func labels(_ datum: Datum, top: Int) -> [Float]? {
  if top == 1 { return [Float(datum.label)] }
  guard !datum.encoded, datum.height == 1, datum.width == 1 else { return nil }
  return datum.data.isEmpty ? datum.floatData : datum.data.map(Float.init)
}
