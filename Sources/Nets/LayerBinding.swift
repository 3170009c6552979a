import CaffeSchema
import Compute
import Diagnostics
import Tensors

/// What a layer is given when it is bound: the engine, its shapes and parameters, and the means to ask for its bottoms
/// and tops in the layouts that it wants.
///
/// A layer asks for each bottom with `bottom(_:in:)` (plain unless it says otherwise) and makes each top with
/// `top(_:in:)`. Where the bottom comes in another layout, the graph puts a reorder step in between, one for each blob
/// and layout.
package final class LayerBinding {
  package let engine: any Engine
  package let phase: Phase
  package let fields: LayerFields
  package let bottomShapes: [Shape]
  package let topShapes: [Shape]
  package let parameters: [Parameter]
  /// Whether parameter `i` learns in this net.
  package let learns: [Bool]
  package let draws: LayerDraws
  /// The layers behind this one whose work it does too; see `AbsorbingLayer`.
  package let followers: [AbsorbedLayer]
  /// For how many tasks backward will run, one after another; 1 where their gradients are not told apart.
  package let taskCount: Int
  /// How many rows the tops have, of a layer that decides it in each pass.
  package let liveRows: LiveRows?

  let binder: Binder
  let bound: BoundNode

  init(
    binder: Binder, bound: BoundNode, fields: LayerFields, bottomShapes: [Shape], topShapes: [Shape],
    parameters: [Parameter], learns: [Bool], followers: [AbsorbedLayer], draws: LayerDraws, taskCount: Int,
    liveRows: LiveRows?
  ) {
    self.binder = binder
    self.bound = bound
    self.fields = fields
    engine = binder.engine
    phase = fields.phase
    self.bottomShapes = bottomShapes
    self.topShapes = topShapes
    self.parameters = parameters
    self.learns = learns
    self.draws = draws
    self.followers = followers
    self.taskCount = taskCount
    self.liveRows = liveRows
  }

  /// The layout in which bottom `index` comes.
  package func bottomLayout(_ index: Int) -> Layout { bound.sources[index].blob.layout }

  /// Whether backward has to write the gradient of bottom `index`.
  package func wantsGradient(_ index: Int) -> Bool { bound.bottomWantsGradient[index] }

  /// Whether this layer's backward runs at all.
  package var runsBackward: Bool { bound.runsBackward }

  /// Bottom `index` in `layout`, its gradient this layer's own.
  package func bottom(_ index: Int, in layout: Layout = .plain) -> Blob {
    binder.branch(of: bound.sources[index], in: layout, wantsGradient: wantsGradient(index), for: bound, at: index)
  }

  /// Bottom `index` as it comes.
  package func bottomAsItComes(_ index: Int) -> Blob { bottom(index, in: bottomLayout(index)) }

  /// Makes top `index`, written by forward in `layout`.
  package func top(_ index: Int, in layout: Layout = .plain) -> Blob {
    binder.makeTop(index, of: bound, shape: topShapes[index], in: layout, dataRegion: nil)
  }

  /// Makes top `index` a view of `bottom` with another shape: the same memory for data and gradient. Both are plain.
  package func topViewing(_ bottom: Blob, _ index: Int) -> Blob {
    let top = binder.makeTop(
      index, of: bound, shape: topShapes[index], in: .plain, dataRegion: bottom.dataRegion)
    if bottom.hasGradient, top.hasGradient { top.gradientRegion.unite(with: bottom.gradientRegion) }
    return top
  }

  /// Memory that keeps what forward leaves for backward.
  package func workspace(_ byteCount: Int) -> Region {
    let region = Region(byteCount: byteCount)
    bound.workspaces.append(region)
    return region
  }

  /// Memory for within one call of forward or backward.
  package func scratch(_ byteCount: Int) -> Region {
    let region = Region(byteCount: byteCount)
    bound.scratches.append(region)
    return region
  }

  /// Says which data backward reads; everything, unless this is called.
  package func backwardReads(bottoms: [Blob] = [], tops: [Blob] = []) {
    bound.backwardReads = (bottoms + tops).map(\.dataRegion)
  }

  /// Says that backward changes the tops' gradients.
  package func backwardChangesTopGradients() { bound.changesTopGradients = true }

  /// Allows forward to write `top` over `bottom`, and backward to write `bottom`'s gradient over `top`'s. The planner
  /// does so where nobody else reads what is overwritten.
  package func allowInPlace(_ bottom: Blob, _ top: Blob) {
    bound.inPlace.append((bottom, top))
  }

  /// Says that backward makes `second`'s gradient a copy of `first`'s. Where nobody changes either later, the planner
  /// lets both lie in one place, and backward finds that there is nothing to copy.
  package func allowSharedGradient(_ first: Blob, _ second: Blob) {
    bound.sharedGradients.append((first, second))
  }
}

/// The random draws of one layer: the same for the same seed, layer and pass, whatever happened before.
package struct LayerDraws {
  let clock: NetClock
  /// The part of its keys that tells the layer from others.
  package let layer: UInt64

  /// The stream of the present pass.
  package var stream: RandomStream { RandomStream(seed: clock.seed, layer, UInt64(clock.pass)) }
  /// The stream that is the same in every pass.
  package var fixedStream: RandomStream { RandomStream(seed: clock.seed, layer) }
  /// How many forward passes the net has finished.
  package var pass: Int { clock.pass }
  package var seed: UInt64 { clock.seed }
  /// Where data layers start; see `NetClock`.
  package var firstRecord: Int { clock.firstRecord }
}

/// A net's time: its seed and how many forward passes it has finished. Whoever resumes a run sets `pass`.
package final class NetClock {
  package let seed: UInt64
  package var pass = 0
  /// The place in the sequence of records where pass 0 starts.
  package var firstRecord = 0

  package init(seed: UInt64) { self.seed = seed }
}
