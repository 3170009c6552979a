import Compute

/// Plain to plain, the only reorder there is here: a copy.
final class ReferenceReorder: ReorderOp {
  let implementation = "reference"
  private let count: Int

  init(count: Int) { self.count = count }

  func run(from: UnsafeRawPointer, to: UnsafeMutableRawPointer) {
    to.floats.update(from: from.floats, count: count)
  }
}
