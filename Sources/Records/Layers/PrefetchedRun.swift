import Diagnostics
import Nets
import Tensors

/// The run of a data layer whose batches are prepared in the background: its tops point at the batch of the pass.
class PrefetchedRun: LayerRun {
  private let prefetcher: Prefetcher
  private let tops: [Blob]
  fileprivate let draws: LayerDraws
  private let identity: Diagnostic.Layer

  /// - Parameter depth: batches kept, the one in use included; brought into 2...4.
  init(_ filler: any BatchFiller, _ binding: LayerBinding, depth: Int = 3) {
    tops = binding.topShapes.indices.map { binding.top($0) }
    for top in tops { top.dataRegion.isExternal = true }
    prefetcher = Prefetcher(filler, tops.map(\.count), depth: max(2, min(4, depth)))
    draws = binding.draws
    identity = binding.fields.identity
  }

  func forward() throws {
    do {
      let buffers = try prefetcher.take(pass: draws.pass, firstRecord: draws.firstRecord)
      for (index, top) in tops.enumerated() { top.dataRegion.place(at: buffers[index].base) }
    } catch let fault as Diagnostic {
      throw fault.within(layer: identity)
    }
  }
}

/// The same of a layer whose records follow one another.
final class PrefetchedRecordRun: PrefetchedRun, RecordRun {
  let source: String
  let recordCount: Int
  let batchSize: Int
  private let makeFiller: () throws -> any RecordFiller

  /// - Parameter makeFiller: called for the thread that prepares batches, and whenever keys are asked for.
  init(
    _ binding: LayerBinding, source: String, recordCount: Int, batchSize: Int, depth: Int = 3,
    _ makeFiller: @escaping () throws -> any RecordFiller
  ) throws {
    self.source = source
    self.recordCount = recordCount
    self.batchSize = batchSize
    self.makeFiller = makeFiller
    super.init(try makeFiller(), binding, depth: depth)
  }

  func keys(ofPass pass: Int) throws -> [String] {
    let filler = try makeFiller()
    return try (0..<batchSize).map { try filler.key(ofRecordAt: draws.firstRecord + pass * batchSize + $0) }
  }
}
