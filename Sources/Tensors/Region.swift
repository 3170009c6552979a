import Glibc

/// A piece of memory whose place is decided once all of a net's steps are known.
///
/// Until the memory planner has placed it, its pointer leads nowhere. Regions that may hold their contents in the same
/// place are united: they then have one root, and the root's place.
package final class Region {
  /// Bytes asked for; the root's is the largest of those united with it.
  package private(set) var byteCount: Int
  package private(set) var pointer: UnsafeMutableRawPointer = Region.nowhere
  /// Owned by somebody else (a prefetched batch): the planner gives it no place.
  package var isExternal = false
  /// Kept for as long as the net lives: outputs, and whatever the caller wants to look at.
  package var isPinned = false
  private var united: Region?

  /// Address that faults when it is used, so that a missing plan is seen at once.
  private static var nowhere: UnsafeMutableRawPointer { UnsafeMutableRawPointer(bitPattern: 64).unsafelyUnwrapped }

  package init(byteCount: Int) { self.byteCount = byteCount }

  package var root: Region {
    var region = self
    while let next = region.united { region = next }
    return region
  }

  /// Makes this region lie where `other` lies.
  package func unite(with other: Region) {
    let mine = root
    let theirs = other.root
    guard mine !== theirs else { return }
    mine.united = theirs
    theirs.byteCount = max(mine.byteCount, theirs.byteCount)
    theirs.isPinned = mine.isPinned || theirs.isPinned
    theirs.isExternal = mine.isExternal || theirs.isExternal
  }

  /// Sets the place of this region alone: the planner for every region, a data layer for its external ones.
  package func place(at pointer: UnsafeMutableRawPointer) { self.pointer = pointer }

  /// Takes over the root's place once the root has one.
  package func followRoot() { pointer = root.pointer }
}

/// Aligned memory that is freed with its owner.
package final class Memory: @unchecked Sendable {
  /// A cache line, and the width of the widest vector.
  package static let alignment = 64
  /// Memory of this size is asked for in pages of this size: kernels that write to many places at once (Winograd's to 36
  /// matrices) otherwise wait for the processor to look pages up.
  private static let hugePage = 2_097_152

  package let base: UnsafeMutableRawPointer
  package let byteCount: Int

  /// Zeroed memory of at least `byteCount` bytes.
  package init(byteCount: Int) {
    self.byteCount = byteCount
    let isLarge = byteCount >= Memory.hugePage
    let alignment = isLarge ? Memory.hugePage : Memory.alignment
    let rounded = max(Memory.alignment, (byteCount + Memory.alignment - 1) / Memory.alignment * Memory.alignment)
    base = .allocate(byteCount: rounded, alignment: alignment)
    // A hint: refused or not, the memory is the same.
    if isLarge { madvise(base, rounded / Memory.hugePage * Memory.hugePage, MADV_HUGEPAGE) }
    base.initializeMemory(as: UInt8.self, repeating: 0, count: rounded)
  }

  deinit { base.deallocate() }
}
