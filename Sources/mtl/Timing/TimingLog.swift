import Logging
import Solvers

/// The messages of `caffe time`, word for word, each with the place in Caffe's sources that its logs carry (those of
/// version 1.0: `caffe.cpp:397] Average time per layer: `), since people's scripts select lines by them.
struct TimingLog {
  private let say: (_ message: String, _ line: UInt) -> Void

  init(_ logger: Logger) {
    say = { logger.log(level: .info, "\($0)", file: "caffe.cpp", function: "", line: $1) }
  }

  /// For tests.
  init(to receive: @escaping (String) -> Void) { say = { message, _ in receive(message) } }

  func performingForward() { say("Performing Forward", 351) }
  func performingBackward(initialLoss: Float) {
    say("Initial loss: \(logText(initialLoss))", 356)
    say("Performing Backward", 357)
  }

  func begins(iterations: Int) {
    say("*** Benchmark begins ***", 365)
    say("Testing for \(iterations) iterations.", 366)
  }

  /// - Parameter pass: counted from 0.
  func iteration(_ pass: Int, seconds: Double) {
    say("Iteration: \(pass + 1) forward-backward time: \(milliseconds(seconds)) ms.", 394)
  }

  /// Means over all passes. Rows between layers have lines too, so that the lines add up, and so have layers whose work
  /// another one's step does, so that each layer is found: it takes no time of its own.
  func ends(_ rows: [TimedRow], _ times: StepTimes) {
    say("Average time per layer: ", 397)
    for row in rows {
      layer(row.name, forward: mean(row.forward?.seconds ?? []), backward: mean(row.backward?.seconds ?? []))
      for name in row.absorbed { layer(name, forward: 0, backward: 0) }
    }
    let forward = times.total(times.forward)
    let backward = times.total(times.backward)
    let total = (forward + backward).reduce(0, +)
    say("Average Forward pass: \(milliseconds(mean(forward))) ms.", 408)
    say("Average Backward pass: \(milliseconds(mean(backward))) ms.", 410)
    say("Average Forward-Backward: \(milliseconds(total / Double(max(1, times.passCount)))) ms.", 412)
    say("Total Time: \(milliseconds(total)) ms.", 414)
    say("*** Benchmark ends ***", 415)
  }

  private func layer(_ name: String, forward: Double, backward: Double) {
    let name = String(repeating: " ", count: max(0, 10 - name.count)) + name
    say("\(name)\tforward: \(milliseconds(forward)) ms.", 400)
    say("\(name)\tbackward: \(milliseconds(backward)) ms.", 403)
  }

  private func milliseconds(_ seconds: Double) -> String { logText(1000 * seconds) }

  private func mean(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
  }
}
