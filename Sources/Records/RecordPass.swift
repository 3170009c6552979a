import Synchronization

/// A pass over all records that a net makes before its first batch, as a sampler does to learn the identities.
package enum RecordPass {
  /// Told from time to time how many records are done, and at the end; the program shows it.
  package static let progress = Mutex<(@Sendable (_ done: Int, _ count: Int) -> Void)?>(nil)

  static func tell(_ done: Int, of count: Int) {
    guard done % 1000 == 0 || done == count else { return }
    progress.withLock { $0 }?(done, count)
  }
}
