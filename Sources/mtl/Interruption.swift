import ArgumentParser
import Glibc
import Synchronization

/// What the user asked the process by signals: to stop (Ctrl-C, or a request to terminate), or to write a snapshot. A
/// second request to stop ends the process at once.
enum Interruption {
  /// What a signal does to a training run.
  enum Effect: String, ExpressibleByArgument, CaseIterable {
    /// Writes a snapshot and ends.
    case stop
    /// Writes a snapshot and goes on.
    case snapshot
    case none
  }

  private static let isAsked = Atomic<Bool>(false)
  private static let snapshotIsAsked = Atomic<Bool>(false)

  static var isRequested: Bool { isAsked.load(ordering: .relaxed) }

  /// Whether a snapshot was asked for since the last call.
  static func takeSnapshotRequest() -> Bool { snapshotIsAsked.exchange(false, ordering: .relaxed) }

  /// From now on requests to stop are noted, for work that can be ended in good order.
  static func watch() { watch([SIGINT: .stop, SIGTERM: .stop]) }

  static func watch(_ effects: [Int32: Effect]) {
    var watched = sigset_t()
    sigemptyset(&watched)
    for (number, effect) in effects {
      sigaddset(&watched, number)
      switch effect {
      case .stop:
        signal(number) { number in
          Interruption.isAsked.store(true, ordering: .relaxed)
          signal(number, SIG_DFL)
        }
      case .snapshot: signal(number) { _ in Interruption.snapshotIsAsked.store(true, ordering: .relaxed) }
      case .none: signal(number, SIG_IGN)
      }
    }
    // A program that starts this one from a thread which blocks signals hands that on.
    pthread_sigmask(SIG_UNBLOCK, &watched, nil)
  }
}
