import CaffeSchema
import Nets

/// The labels that a Data layer's database holds, for comparing them with what a net expects.
package struct RecordedLabels: Sendable {
  /// The smallest and the largest of each channel, missing ones left out, nil where all are; of a single label, one
  /// channel.
  package let ranges: [ClosedRange<Float>?]
  /// Whether all records were read, not a sample of them.
  package let isWhole: Bool

  private static let mostRecords = 20_000
  private static let mostBytes = 64 << 20

  /// - Parameter top: 0 for the records' values, 1 for their integer labels.
  /// - Returns: nil when the database cannot be read, or holds no vectors of values.
  package init?(_ layer: DataLayer, top: Int) {
    guard let databases = try? layer.databases() else { return nil }
    var ranges: [ClosedRange<Float>?] = []
    var isWhole = true
    for (database, channel) in zip(databases, layer.firstChannels) {
      guard let part = RecordedLabels.read(database, top: top) else { return nil }
      isWhole = isWhole && part.isWhole
      while ranges.count < channel + part.ranges.count { ranges.append(nil) }
      for (index, range) in part.ranges.enumerated() {
        guard let range else { continue }
        let known = ranges[channel + index] ?? range
        ranges[channel + index] =
          min(known.lowerBound, range.lowerBound)...max(known.upperBound, range.upperBound)
      }
    }
    self.ranges = ranges
    self.isWhole = isWhole
  }

  private static func read(
    _ database: any RecordDatabase, top: Int
  ) -> (ranges: [ClosedRange<Float>?], isWhole: Bool)? {
    guard let cursor = try? database.makeCursor(), database.count > 0,
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
    return (ranges, sample == database.count)
  }
}

private func labels(_ datum: Datum, top: Int) -> [Float]? {
  if top == 1 { return [Float(datum.label)] }
  guard !datum.encoded, datum.height == 1, datum.width == 1 else { return nil }
  return datum.data.isEmpty ? datum.floatData : datum.data.map(Float.init)
}

extension RecordSource {
  /// The identity of each record: a number of its label vector, or its integer label.
  ///
  /// - Parameters:
  ///   - labelIndex: which number of the vector; nil takes the first of records that are vectors.
  ///   - areSingle: whether records are not looked at as vectors without an index.
  /// - Throws: `badRecord` for a record without that number.
  func identities(index labelIndex: Int?, areSingle: Bool) throws -> [Float] {
    let shape = try firstShape()
    let isVector = labelIndex != nil || (!areSingle && shape[1] == 1 && shape[2] == 1)
    let database = try database()
    let cursor = try database.makeCursor()
    return try (0..<database.count).map { index in
      defer { RecordPass.tell(index + 1, of: database.count) }
      let record = try cursor.next()
      return isVector ? try number(labelIndex ?? 0, of: record) : label(of: record)
    }
  }

  private func number(_ index: Int, of record: Record) throws -> Float {
    guard let datum = try? Datum(serializedBytes: record.borrowedValue), let vector = labels(datum, top: 0),
      index < vector.count
    else { throw fault(record, "is no vector with a number \(index), which label_index asks for (the first is 0)") }
    return vector[index]
  }

  /// Without decoding its picture; 0 where none is written.
  private func label(of record: Record) -> Float {
    var label: Float = 0
    forEachField(of: record.value) { number, value in
      // Negative numbers are written with their sign extended to 64 bits.
      if number == 5, case .number(let bits) = value { label = Float(Int32(truncatingIfNeeded: bits)) }
    }
    return label
  }
}
