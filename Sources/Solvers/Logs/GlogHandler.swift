import Glibc
import Logging

/// Prints log lines on standard error as glog does, so that the parsers of such logs go on working:
/// `I1123 07:07:54.626958 22896 solver.cpp:289] Solving DigitsFiveTasks`.
///
/// The source place is the one that Caffe's log has at this message, since people's scripts select lines by it.
package struct GlogHandler: LogHandler {
  package var logLevel: Logger.Level = .info
  package var metadata: Logger.Metadata = [:]
  private let isTerminal: Bool

  package init() { isTerminal = isatty(STDERR_FILENO) == 1 }

  package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  package func log(event: LogEvent) {
    // On a terminal a progress line may stand where this line goes.
    let start = isTerminal ? "\r\u{1b}[K" : ""
    let text = "\(start)\(prefix(event.level))\(event.file):\(event.line)] \(event.message)\n"
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }

  /// Level letter, month and day, time in microseconds, thread.
  private func prefix(_ level: Logger.Level) -> String {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    var local = tm()
    localtime_r(&now.tv_sec, &local)
    let letter =
      switch level {
      case .trace, .debug, .info, .notice: "I"
      case .warning: "W"
      case .error: "E"
      case .critical: "F"
      }
    let day = padded(Int(local.tm_mon) + 1, 2) + padded(Int(local.tm_mday), 2)
    let time = [local.tm_hour, local.tm_min, local.tm_sec].map { padded(Int($0), 2) }.joined(separator: ":")
    return "\(letter)\(day) \(time).\(padded(now.tv_nsec / 1000, 6)) \(getpid()) "
  }

  private func padded(_ number: Int, _ width: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(0, width - text.count)) + text
  }
}
