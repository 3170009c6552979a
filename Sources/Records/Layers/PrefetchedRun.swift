import Diagnostics
import Nets
import Tensors

/// The run of a data layer whose batches are prepared in the background: its tops point at the batch of the pass.
final class PrefetchedRun: LayerRun {
  private let prefetcher: Prefetcher
  private let tops: [Blob]
  private let draws: LayerDraws
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
