import CaffeSchema
import Diagnostics
import Tensors

/// The endless sequence of records that a data layer reads. It belongs to one thread.
final class RecordSequence: @unchecked Sendable {
  let source: RecordSource
  private let places: RecordPlaces
  private let count: Int
  private var cursor: (any RecordCursor)?
  /// The position that the cursor gives next.
  private var next = 0

  init(_ source: RecordSource, _ order: RecordOrder) {
    self.source = source
    places = RecordPlaces(order)
    count = order.count
  }

  /// The record at a place; it may be read until the next is asked for.
  func record(at place: Int) throws -> Record {
    let cursor = try self.cursor ?? source.database().makeCursor()
    self.cursor = cursor
    let position = places.position(of: place)
    let record = position == next ? try cursor.next() : try cursor.record(at: position)
    next = (position + 1) % count
    return record
  }
}

extension RecordSequence {
  func key(at place: Int) throws -> String { String(decoding: try record(at: place).key, as: UTF8.self) }
}

/// Fills the buffers of one batch: reads the records of a pass, decodes and transforms them.
final class BatchReader: RecordFiller, @unchecked Sendable {
  /// One of the sources that the records come from.
  struct Part {
    var sequence: RecordSequence
    var preparation: Preparation
    /// Where its values begin in those of a record of the batch.
    var offset: Int
  }

  private let parts: [Part]
  private let mixture: RecordMixture
  private let recordSize: Int
  private let batchSize: Int
  private let readsLabels: Bool
  private let seed: UInt64
  /// Of records that are labels.
  private let motion: LabelMotion?

  init(
    _ parts: [Part], _ mixture: RecordMixture, motion: LabelMotion?, recordSize: Int, batchSize: Int, readsLabels: Bool,
    draws seed: UInt64
  ) {
    self.parts = parts
    self.mixture = mixture
    self.recordSize = recordSize
    self.batchSize = batchSize
    self.readsLabels = readsLabels
    self.seed = seed
    self.motion = motion
  }

  func key(ofRecordAt place: Int) throws -> String {
    let (part, own) = mixture.source(of: place)
    return try parts[part].sequence.key(at: own)
  }

  /// Fills `buffers` (records, then labels) with the batch of `pass`.
  func fill(_ buffers: [Memory], pass: Int, firstRecord: Int) throws {
    let values = buffers[0].base.assumingMemoryBound(to: Float.self)
    for item in 0..<batchSize {
      let place = firstRecord + pass * batchSize + item
      let (index, own) = mixture.source(of: place)
      let part = parts[index]
      let record = try part.sequence.record(at: own)
      let datum = try part.sequence.source.decode(record)
      let draws = RandomStream.ofRecord(at: place, seed: seed)
      let start = values + item * recordSize
      // Labels that this source does not have.
      if part.preparation.output.count < recordSize { start.update(repeating: .nan, count: recordSize) }
      do throws(Preparation.Misfit) {
        try part.preparation.run(datum.values, draws: draws, into: start + part.offset)
      } catch {
        throw part.sequence.source.fault(record, error.reason)
      }
      motion?.apply(start, draws: draws)
      if readsLabels { buffers[1].base.assumingMemoryBound(to: Float.self)[item] = datum.label }
    }
  }
}
