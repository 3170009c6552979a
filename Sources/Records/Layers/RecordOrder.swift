import Tensors

/// Which record is at which place of the endless sequence that a data layer reads.
struct RecordOrder: Sendable {
  let count: Int
  let first: Int
  let isShuffled: Bool
  let seed: UInt64
  /// Draws the records of each batch by their labels, in place of going through them.
  var sampler: IdentitySampler?

  /// - Parameter skip: a number below it of records is passed over at the start: `rand_skip`. It is the same for every
  ///   layer of a net: sources that belong together skip and shuffle alike.
  init(count: Int, skip: UInt32, isShuffled: Bool, seed: UInt64) {
    self.count = count
    self.isShuffled = isShuffled
    self.seed = seed
    first = skip > 0 ? RandomStream(seed: seed, RandomStream.part("rand_skip")).integer(0, below: Int(skip)) : 0
  }

  /// Records in a round.
  var roundCount: Int { sampler?.recordsPerRound ?? count }
}

/// Finds the record at each place of the sequence. It belongs to one thread.
final class RecordPlaces {
  private let order: RecordOrder
  private var permutation: (epoch: Int, order: [Int]) = (-1, [])
  private var batch: (pass: Int, positions: [Int]) = (-1, [])

  init(_ order: RecordOrder) { self.order = order }

  /// The record's position in the source.
  func position(of place: Int) -> Int {
    if let sampler = order.sampler {
      let pass = place / sampler.batchSize
      if batch.pass != pass { batch = (pass, sampler.batch(pass, seed: order.seed)) }
      return batch.positions[place % sampler.batchSize]
    }
    let position = (order.first + place) % order.count
    guard order.isShuffled else { return position }
    let epoch = (order.first + place) / order.count
    if permutation.epoch != epoch {
      let stream = RandomStream(seed: order.seed, RandomStream.part("shuffle"), UInt64(epoch))
      permutation = (epoch, stream.permutation(order.count))
    }
    return permutation.order[position]
  }
}
