import Glibc

/// A line on the terminal that tells how far a long piece of work is, its rate and the time left.
///
/// It is written over as the work goes on, at most ten times a second, and only where standard error is a terminal.
struct ProgressLine {
  private let verb: String
  private let unit: String
  private let isShown: Bool
  private let start = ProgressLine.now()
  private var lastShown = 0.0

  /// - Parameters:
  ///   - verb: what is done, such as "converting".
  ///   - unit: what is counted, such as "records".
  init(_ verb: String, unit: String) {
    self.verb = verb
    self.unit = unit
    isShown = isatty(STDERR_FILENO) == 1
  }

  /// - Parameters:
  ///   - first: what was done before this line began, for the rate.
  ///   - note: what else is worth telling.
  mutating func update(_ done: Int, of count: Int, from first: Int = 0, note: @autoclosure () -> String = "") {
    guard isShown else { return }
    let now = ProgressLine.now()
    guard now - lastShown >= 0.1 else { return }
    lastShown = now
    write(
      ProgressLine.text(verb, unit: unit, done: done, count: count, from: first, seconds: now - start) + note())
  }

  /// Takes the line away, so that other lines can follow.
  func clear() {
    if isShown { write("") }
  }

  /// Back to the line's start, and its old text wiped out.
  private func write(_ text: String) {
    let bytes = Array("\r\u{1b}[K\(text)".utf8)
    _ = Glibc.write(STDERR_FILENO, bytes, bytes.count)
  }

  static func text(_ verb: String, unit: String, done: Int, count: Int, from first: Int = 0, seconds: Double) -> String
  {
    var text = "\(verb) \(done) of \(count) \(unit)"
    guard seconds > 0 && done > first else { return text }
    let rate = Double(done - first) / seconds
    text += rate >= 10 ? ", \(Int(rate))/s" : ", \(Double(Int(rate * 10)) / 10)/s"
    return text + ", \(duration(Double(count - done) / rate)) left"
  }

  /// 42 s, 3 min 20 s, 2 h 5 min.
  static func duration(_ seconds: Double) -> String {
    let seconds = Int(seconds.rounded(.up))
    if seconds < 60 { return "\(seconds) s" }
    if seconds < 3600 { return "\(seconds / 60) min \(seconds % 60) s" }
    return "\(seconds / 3600) h \(seconds / 60 % 60) min"
  }

  private static func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }
}
