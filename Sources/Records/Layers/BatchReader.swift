import CaffeSchema
import Diagnostics
import Tensors

/// The endless sequence of records that a data layer reads. It belongs to one thread.
final class RecordSequence: @unchecked Sendable {
  let source: RecordSource
  private let order: RecordOrder
  private var cursor: (any RecordCursor)?
  /// The position that the cursor gives next.
  private var next = 0
  private var permutation: (epoch: Int, order: [Int]) = (-1, [])

  init(_ source: RecordSource, _ order: RecordOrder) {
    self.source = source
    self.order = order
  }

  /// The record at a place; it may be read until the next is asked for.
  func record(at place: Int) throws -> Record {
    let cursor = try self.cursor ?? source.database().makeCursor()
    self.cursor = cursor
    let position = order.position(of: place)
    if order.isShuffled {
      let epoch = order.epoch(of: place)
      if permutation.epoch != epoch { permutation = (epoch, order.permutation(epoch: epoch)) }
      return try cursor.record(at: permutation.order[position])
    }
    let record = position == next ? try cursor.next() : try cursor.record(at: position)
    next = (position + 1) % order.count
    return record
  }
}

extension RecordSequence {
  func key(at place: Int) throws -> String { String(decoding: try record(at: place).key, as: UTF8.self) }
}

/// Fills the buffers of one batch: reads the records of a pass, decodes and transforms them.
final class BatchReader: RecordFiller, @unchecked Sendable {
  private let sequence: RecordSequence
  private let preparation: Preparation
  private let batchSize: Int
  private let readsLabels: Bool
  private let seed: UInt64
  private let layer: UInt64

  init(
    _ sequence: RecordSequence, _ preparation: Preparation, batchSize: Int, readsLabels: Bool, draws seed: UInt64,
    layer: String
  ) {
    self.sequence = sequence
    self.preparation = preparation
    self.batchSize = batchSize
    self.readsLabels = readsLabels
    self.seed = seed
    self.layer = RandomStream.part(layer)
  }

  func key(ofRecordAt place: Int) throws -> String { try sequence.key(at: place) }

  /// Fills `buffers` (records, then labels) with the batch of `pass`.
  func fill(_ buffers: [Memory], pass: Int, firstRecord: Int) throws {
    let size = preparation.output.count
    let values = buffers[0].base.assumingMemoryBound(to: Float.self)
    for item in 0..<batchSize {
      let place = firstRecord + pass * batchSize + item
      let record = try sequence.record(at: place)
      let datum = try sequence.source.decode(record)
      let draws = RandomStream(seed: seed, layer, UInt64(place))
      do throws(Preparation.Misfit) {
        try preparation.run(datum.values, draws: draws, into: values + item * size)
      } catch {
        throw sequence.source.fault(record, error.reason)
      }
      if readsLabels { buffers[1].base.assumingMemoryBound(to: Float.self)[item] = datum.label }
    }
  }
}
