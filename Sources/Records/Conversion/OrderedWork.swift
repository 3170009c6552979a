import Diagnostics
import Glibc

/// Does pieces of work on several threads and takes their results in order, on the calling thread.
///
/// Work runs ahead of the taking by a few pieces for each thread, and by no more than 256 MiB of results.
///
/// - Parameters:
///   - count: the number of pieces.
///   - size: the bytes that a result holds.
///   - work: makes the result of piece 0 to `count` - 1; runs on any thread.
///   - take: gets each piece's number and result, in order. What it throws ends the work.
/// Throws what `take` throws, or a `Diagnostic` (`machine`) when no thread can be started.
func inOrder<Output: Sendable>(
  count: Int, threads: Int, size: @escaping @Sendable (Output) -> Int, work: @escaping @Sendable (Int) -> Output,
  take: (Int, Output) throws -> Void
) throws {
  let queue = OrderedQueue<Output>(count: count, window: 8 * threads, budget: 256 << 20, size: size)
  let body: @Sendable () -> Void = {
    while let piece = queue.nextPiece() { queue.put(work(piece), for: piece) }
  }
  var started: [pthread_t] = []
  defer {
    queue.stop()
    for thread in started { pthread_join(thread, nil) }
  }
  for _ in 0..<min(threads, count) {
    guard let thread = startThread(body) else { break }
    started.append(thread)
  }
  guard !started.isEmpty || count == 0 else { throw Diagnostic(.machine, "cannot start a thread") }
  for piece in 0..<count { try take(piece, queue.result(of: piece)) }
}

private func startThread(_ body: @escaping @Sendable () -> Void) -> pthread_t? {
  final class Start {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }
  let start = Unmanaged.passRetained(Start(body))
  var thread = pthread_t()
  let code = pthread_create(
    &thread, nil,
    { start in
      if let start { Unmanaged<Start>.fromOpaque(start).takeRetainedValue().body() }
      return nil
    }, start.toOpaque())
  guard code == 0 else {
    start.release()
    return nil
  }
  return thread
}

/// What the threads share: which piece is next, and the results that wait to be taken.
private final class OrderedQueue<Output: Sendable>: @unchecked Sendable {
  private let count: Int
  private let budget: Int
  private let size: @Sendable (Output) -> Int
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  /// Signalled when there is room for more work.
  private let room: UnsafeMutablePointer<pthread_cond_t>
  /// Signalled when a result has come.
  private let arrival: UnsafeMutablePointer<pthread_cond_t>

  private var next = 0
  private var taken = 0
  private var heldBytes = 0
  private var isStopped = false
  /// Piece i waits at i % window.
  private var results: [Output?]

  init(count: Int, window: Int, budget: Int, size: @escaping @Sendable (Output) -> Int) {
    self.count = count
    self.budget = budget
    self.size = size
    results = Array(repeating: nil, count: window)
    mutex = .allocate(capacity: 1)
    room = .allocate(capacity: 1)
    arrival = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(room, nil)
    pthread_cond_init(arrival, nil)
  }

  deinit {
    pthread_cond_destroy(arrival)
    pthread_cond_destroy(room)
    pthread_mutex_destroy(mutex)
    arrival.deallocate()
    room.deallocate()
    mutex.deallocate()
  }

  /// Waits for room; nil when there is nothing more to do.
  func nextPiece() -> Int? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while !isStopped && next < count && !hasRoom { pthread_cond_wait(room, mutex) }
    if isStopped || next >= count { return nil }
    next += 1
    return next - 1
  }

  /// The piece that is waited for always has room.
  private var hasRoom: Bool { next == taken || next < taken + results.count && heldBytes <= budget }

  func put(_ result: Output, for piece: Int) {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    results[piece % results.count] = result
    heldBytes += size(result)
    pthread_cond_signal(arrival)
  }

  func result(of piece: Int) -> Output {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while true {
      if let result = results[piece % results.count] {
        results[piece % results.count] = nil
        heldBytes -= size(result)
        taken = piece + 1
        pthread_cond_broadcast(room)
        return result
      }
      pthread_cond_wait(arrival, mutex)
    }
  }

  func stop() {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    isStopped = true
    pthread_cond_broadcast(room)
  }
}
