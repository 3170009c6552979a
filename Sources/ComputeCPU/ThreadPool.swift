import CKernels

/// Calls `body` for the pieces of 0 ..< `count`; a closure that does not escape is passed without a heap allocation.
@_silgen_name("mtl_parallel")
private func runInParallel(_ count: Int, _ grain: Int, _ threads: Int, _ body: (_ from: Int, _ to: Int) -> Void)

/// The threads of OpenMP's one pool, which our loops share with oneDNN and OpenBLAS.
///
/// The pool belongs to the thread that makes the engine. Loops that other threads start (prefetching) run in those
/// threads alone, cut into the same pieces.
struct ThreadPool: Sendable {
  let count: Int

  /// Makes the calling thread the pool's owner.
  init(count: Int) {
    self.count = count
    mtl_claim_pool()
    use()
  }

  /// To be called before work of oneDNN or OpenBLAS starts: OpenMP remembers the number of threads by calling thread.
  func use() { mtl_use_threads(Int32(count)) }

  /// How the range is cut depends only on `count`, `grain` and the number of threads.
  func run(_ count: Int, grain: Int, _ body: (_ from: Int, _ to: Int) -> Void) {
    runInParallel(count, grain, self.count, body)
  }

  /// Adds up what `part` returns for each of the pieces, in their order.
  func sum(_ count: Int, grain: Int, _ part: (_ from: Int, _ to: Int) -> Double) -> Double {
    // A constant number of pieces at most, so that their results have a place on the stack.
    let pieces = min(mtl_piece_count(count, grain, self.count), 64)
    if pieces == 1 { return part(0, count) }
    return withUnsafeTemporaryAllocation(of: Double.self, capacity: 64) { results in
      run(pieces, grain: 1) { from, to in
        for piece in from..<to { results[piece] = part(count * piece / pieces, count * (piece + 1) / pieces) }
      }
      return results[..<pieces].reduce(0, +)
    }
  }
}
