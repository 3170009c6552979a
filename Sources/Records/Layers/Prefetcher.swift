import Diagnostics
import Glibc
import Tensors

/// Prepares batches, in the thread of one prefetcher.
protocol BatchFiller: AnyObject, Sendable {
  /// Fills `buffers`, one for each top, with the batch of `pass`.
  ///
  /// - Parameter firstRecord: the place of the first record of pass 0.
  func fill(_ buffers: [Memory], pass: Int, firstRecord: Int) throws
}

/// A filler of records that follow one another.
protocol RecordFiller: BatchFiller {
  /// What the record at a place is called in its source.
  func key(ofRecordAt place: Int) throws -> String
}

/// Prepares the batches of coming passes in a thread of its own.
///
/// A batch is a function of its pass, so preparing ahead changes nothing but the time. Buffers are made once and go
/// round; the one handed out last stays untouched until the next is asked for.
final class Prefetcher: @unchecked Sendable {
  private enum Outcome {
    case ready
    case failed(any Error)
  }

  private let filler: any BatchFiller
  /// Set before the first batch.
  private var firstRecord = 0
  /// The slot of pass p is p modulo their number.
  private let slots: [[Memory]]
  private var finished: [Int: Outcome] = [:]
  /// The pass that the thread works on next.
  private var coming = 0
  /// Passes before this one are no longer needed.
  private var wanted = 0
  private var isEnding = false
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let changed: UnsafeMutablePointer<pthread_cond_t>
  private var thread: pthread_t?

  /// - Parameters:
  ///   - counts: floats of each top.
  ///   - depth: batches kept, the one in use included; at least 2.
  init(_ filler: any BatchFiller, _ counts: [Int], depth: Int) {
    self.filler = filler
    slots = (0..<depth).map { _ in counts.map { Memory(byteCount: $0 * MemoryLayout<Float>.stride) } }
    mutex = .allocate(capacity: 1)
    changed = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    if let thread {
      pthread_mutex_lock(mutex)
      isEnding = true
      pthread_cond_broadcast(changed)
      pthread_mutex_unlock(mutex)
      pthread_join(thread, nil)
    }
    pthread_mutex_destroy(mutex)
    pthread_cond_destroy(changed)
    mutex.deallocate()
    changed.deallocate()
  }

  /// The buffers with the batch of `pass`, valid until the next call. Waits when they are not ready yet.
  ///
  /// - Parameter firstRecord: the place of pass 0; it must not change once a pass was taken.
  func take(pass: Int, firstRecord: Int) throws -> [Memory] {
    if thread == nil { self.firstRecord = firstRecord }
    startThread()
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    if pass < wanted || pass > coming + slots.count { restart(at: pass) }
    wanted = pass
    finished = finished.filter { $0.key >= pass }
    pthread_cond_broadcast(changed)
    while true {
      if let outcome = finished[pass] {
        if case .failed(let error) = outcome { throw error }
        return slots[pass % slots.count]
      }
      pthread_cond_wait(changed, mutex)
    }
  }

  /// Somebody jumped: a resumed run, a second net over the same data.
  private func restart(at pass: Int) {
    finished = [:]
    coming = pass
  }

  private func startThread() {
    guard thread == nil else { return }
    var new = pthread_t()
    // The thread must not keep the prefetcher alive, or it would never end.
    let context = Unmanaged.passUnretained(self).toOpaque()
    let code = pthread_create(
      &new, nil,
      { context in
        if let context { Unmanaged<Prefetcher>.fromOpaque(context).takeUnretainedValue().work() }
        return nil
      }, context)
    precondition(code == 0, "the system gives no more threads")
    thread = new
  }

  private func work() {
    pthread_mutex_lock(mutex)
    while !isEnding {
      if coming >= wanted + slots.count {
        pthread_cond_wait(changed, mutex)
        continue
      }
      let pass = max(coming, wanted)
      coming = pass + 1
      pthread_mutex_unlock(mutex)
      let outcome: Outcome
      do {
        try filler.fill(slots[pass % slots.count], pass: pass, firstRecord: firstRecord)
        outcome = .ready
      } catch {
        outcome = .failed(error)
      }
      pthread_mutex_lock(mutex)
      // Unless somebody jumped meanwhile, so that this pass has to be prepared anew.
      if coming == pass + 1 { finished[pass] = outcome }
      pthread_cond_broadcast(changed)
    }
    pthread_mutex_unlock(mutex)
  }
}
