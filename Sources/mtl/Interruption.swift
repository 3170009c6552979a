import Glibc
import Synchronization

/// Whether the user asked the process to stop (Ctrl-C, or a request to terminate). A second request kills it.
enum Interruption {
  private static let isAsked = Atomic<Bool>(false)

  static var isRequested: Bool { isAsked.load(ordering: .relaxed) }

  /// From now on the request is noted, for work that can be ended in good order.
  static func watch() {
    for number in [SIGINT, SIGTERM] {
      signal(number) { number in
        Interruption.isAsked.store(true, ordering: .relaxed)
        signal(number, SIG_DFL)
      }
    }
  }
}
