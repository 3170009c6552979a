import CaffeSchema
import Diagnostics
import Tensors

/// Fills the buffers of one batch: reads the records of a pass, decodes and transforms them.
///
/// It belongs to one thread.
final class BatchReader: @unchecked Sendable {
  private let source: RecordSource
  private let transform: Transform
  private let order: RecordOrder
  private let batchSize: Int
  private let readsLabels: Bool
  private let seed: UInt64
  private let layer: UInt64
  /// The place of the first record of pass 0. Set before the first batch.
  var firstRecord = 0
  private var cursor: (any RecordCursor)?
  /// The position that the cursor gives next.
  private var next = 0
  private var permutation: (epoch: Int, order: [Int]) = (-1, [])

  init(
    source: RecordSource, transform: Transform, order: RecordOrder, batchSize: Int, readsLabels: Bool,
    draws seed: UInt64,
    layer: String
  ) {
    self.source = source
    self.transform = transform
    self.order = order
    self.batchSize = batchSize
    self.readsLabels = readsLabels
    self.seed = seed
    self.layer = RandomStream.part(layer)
  }

  /// Fills `buffers` (records, then labels) with the batch of `pass`.
  func fill(_ buffers: [Memory], pass: Int) throws {
    let size = transform.output.count
    let values = buffers[0].base.assumingMemoryBound(to: Float.self)
    for item in 0..<batchSize {
      let place = firstRecord + pass * batchSize + item
      let record = try record(at: place)
      let datum = try source.decode(record)
      guard datum.shape == transform.record else {
        throw source.fault(
          record, "is \(datum.shape), but the first record is \(transform.record); all must have one shape")
      }
      write(datum, place, into: values + item * size)
      if readsLabels { buffers[1].base.assumingMemoryBound(to: Float.self)[item] = datum.label }
    }
  }

  private func record(at place: Int) throws -> Record {
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

  private func write(_ datum: RecordSource.Values, _ place: Int, into output: UnsafeMutablePointer<Float>) {
    let draws = RandomStream(seed: seed, layer, UInt64(place))
    switch datum.storage {
    case .planes(let bytes):
      bytes.withUnsafeBytes { bytes in
        guard let base = bytes.bindMemory(to: UInt8.self).baseAddress else { return }
        transform.apply(base, strides: .planes(datum.shape), draws: draws, into: output, float: Float.init)
      }
    case .image(let image):
      image.pixels.withUnsafeBufferPointer { pixels in
        guard let base = pixels.baseAddress else { return }
        transform.apply(base, strides: .pixels(datum.shape), draws: draws, into: output, float: Float.init)
      }
    case .floats(let floats):
      floats.withUnsafeBufferPointer { floats in
        guard let base = floats.baseAddress else { return }
        transform.apply(base, strides: .planes(datum.shape), draws: draws, into: output) { $0 }
      }
    }
  }
}
