import Tensors

/// The places of all regions of a net in one arena.
///
/// Two regions share bytes when no step needs both: the activations that backward does not read, gradients and scratch
/// all live in the gaps that others leave. The places come from first fit in order of size.
package struct MemoryPlan {
  package struct Entry {
    package let region: Region
    package let offset: Int
    /// The first and last step that touch it.
    package let steps: ClosedRange<Int>
  }

  package private(set) var entries: [Entry] = []
  /// The size of the arena.
  package private(set) var byteCount = 0

  /// Plans for `steps` in their order. `shared` are pairs that a step makes equal; `inPlace` those that the layers allow
  /// to share memory, each with the step at which the first is read for the last time and the second is written.
  /// `pinned` regions get a place even when no step touches them.
  init(steps: [Step], shared: [RegionPair], inPlace: [RegionPair], pinned: [Region]) {
    for pair in shared { MemoryPlan.uniteIfUnchanged(pair, steps) }
    for pair in inPlace { MemoryPlan.uniteIfFree(pair, steps) }
    // In the order in which the steps meet them, so that equal ones get the same places in every run.
    var lifetimes: [(region: Region, steps: ClosedRange<Int>)] = []
    var known: [ObjectIdentifier: Int] = [:]
    func extend(_ region: Region, _ span: ClosedRange<Int>) {
      if let index = known[ObjectIdentifier(region)] {
        let old = lifetimes[index].steps
        lifetimes[index].steps =
          min(old.lowerBound, span.lowerBound)...max(old.upperBound, span.upperBound)
      } else {
        known[ObjectIdentifier(region)] = lifetimes.count
        lifetimes.append((region, span))
      }
    }
    let all = 0...(max(steps.count, 1) - 1)
    for region in pinned { extend(region.root, all) }
    for (index, step) in steps.enumerated() {
      for region in step.reads + step.writes {
        extend(region.root, region.root.isPinned ? all : index...index)
      }
    }
    place(lifetimes.filter { !$0.region.isExternal && $0.region.byteCount > 0 })
  }

  /// Two regions that may lie in one place, with the step that writes the new one.
  struct RegionPair {
    let step: Int
    let old: Region
    let new: Region
  }

  /// Unites a pair whose contents are equal from the step on, unless one of them changes later.
  private static func uniteIfUnchanged(_ pair: RegionPair, _ steps: [Step]) {
    let old = pair.old.root
    let new = pair.new.root
    guard old !== new, !old.isPinned, !new.isPinned, !old.isExternal, !new.isExternal,
      old.byteCount == new.byteCount
    else { return }
    for index in steps.indices where index != pair.step {
      let step = steps[index]
      if index > pair.step, step.writes.contains(where: { $0.root === old || $0.root === new }) { return }
      // The new contents must not exist before.
      if index < pair.step, (step.writes + step.reads).contains(where: { $0.root === new }) { return }
    }
    new.unite(with: old)
  }

  /// Unites the pair unless the old contents are read at a later step, are written again at one, or must be kept.
  private static func uniteIfFree(_ pair: RegionPair, _ steps: [Step]) {
    let old = pair.old.root
    let new = pair.new.root
    guard old !== new, !old.isPinned, !new.isPinned, !old.isExternal, !new.isExternal else { return }
    for index in steps.indices {
      let step = steps[index]
      if index > pair.step, step.reads.contains(where: { $0.root === old }) { return }
      if index > pair.step, step.writes.contains(where: { $0.root === old }) { return }
      // The new contents must not exist while the old ones are still in use.
      if index < pair.step, (step.writes + step.reads).contains(where: { $0.root === new }) { return }
    }
    let here = steps[pair.step]
    guard here.reads.filter({ $0.root === old }).count == 1 else { return }
    new.unite(with: old)
  }

  private mutating func place(_ regions: [(region: Region, steps: ClosedRange<Int>)]) {
    let order = regions.enumerated().sorted { a, b in
      (-a.element.region.byteCount, a.element.steps.lowerBound, a.element.steps.upperBound, a.offset)
        < (-b.element.region.byteCount, b.element.steps.lowerBound, b.element.steps.upperBound, b.offset)
    }.map(\.element)
    for (region, steps) in order {
      let neighbours = entries.filter { $0.steps.overlaps(steps) }.sorted { $0.offset < $1.offset }
      var offset = 0
      for neighbour in neighbours {
        if offset + region.alignedByteCount <= neighbour.offset { break }
        offset = max(offset, neighbour.offset + neighbour.region.alignedByteCount)
      }
      entries.append(Entry(region: region, offset: offset, steps: steps))
      byteCount = max(byteCount, offset + region.alignedByteCount)
    }
  }

  /// Gives every region of `steps`, and the pinned ones, its place in `memory`.
  func apply(to steps: [Step], pinned: [Region], memory: Memory) {
    for entry in entries { entry.region.place(at: memory.base + entry.offset) }
    for region in steps.flatMap({ $0.reads + $0.writes }) + pinned where !region.root.isExternal {
      region.followRoot()
    }
  }
}

extension Region {
  fileprivate var alignedByteCount: Int {
    (byteCount + Memory.alignment - 1) / Memory.alignment * Memory.alignment
  }
}
