import Glibc
import Synchronization

/// Whether the user asked the process to stop (Ctrl-C, or a request to terminate). A second request kills it.
enum Interruption {
  private static let isAsked = Atomic<Bool>(false)

  static var isRequested: Bool { isAsked.load(ordering: .relaxed) }

  /// From now on the request is noted, for work that can be ended in good order.
  static func watch() {
    var watched = sigset_t()
    sigemptyset(&watched)
    for number in [SIGINT, SIGTERM] {
      sigaddset(&watched, number)
      signal(number) { number in
        Interruption.isAsked.store(true, ordering: .relaxed)
        signal(number, SIG_DFL)
      }
    }
    // A program that starts this one from a thread which blocks signals hands that on.
    pthread_sigmask(SIG_UNBLOCK, &watched, nil)
  }
}
