import Glibc
import Nets

/// Seconds on a clock that nobody sets.
func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// The largest memory that the process has had so far, in MiB.
func peakMebibytes() -> Int {
  var usage = rusage()
  getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
  return usage.ru_maxrss / 1024
}

/// The seconds that each step of a net took, in each of several passes.
struct StepTimes {
  /// Per step of `forwardSteps`, per pass.
  var forward: [[Double]]
  /// Per step of `backwardSteps`, per pass.
  var backward: [[Double]]

  /// All steps of a pass together.
  func total(_ steps: [[Double]]) -> [Double] {
    guard let first = steps.first else { return [Double](repeating: 0, count: passCount) }
    return first.indices.map { pass in steps.reduce(0) { $0 + $1[pass] } }
  }

  var passCount: Int { forward.first?.count ?? 0 }
}

/// Runs a net and times every step by itself.
struct NetTimer {
  let net: Net

  /// Passes that are run before the timed ones: memory is touched, kernels are ready, processors awake.
  static let warmUp = 2

  /// Untimed passes.
  ///
  /// - Returns: the objective.
  func warmUp() throws -> Float {
    var objective: Float = 0
    for _ in 0..<NetTimer.warmUp {
      prepare()
      objective = try net.forward()
      try net.backward()
    }
    return objective
  }

  /// - Parameter finished: is told each pass and its seconds.
  func measure(passes: Int, finished: (_ pass: Int, _ seconds: Double) -> Void) throws -> StepTimes {
    let empty = [Double](repeating: 0, count: passes)
    var times = StepTimes(forward: net.forwardSteps.map { _ in empty }, backward: net.backwardSteps.map { _ in empty })
    for pass in 0..<passes {
      prepare()
      let start = monotonicSeconds()
      var last = start
      for (index, step) in net.forwardSteps.enumerated() {
        try step.run()
        let now = monotonicSeconds()
        times.forward[index][pass] = now - last
        last = now
      }
      net.clock.pass += 1
      for (index, step) in net.backwardSteps.enumerated() {
        try step.run()
        let now = monotonicSeconds()
        times.backward[index][pass] = now - last
        last = now
      }
      finished(pass, last - start)
    }
    return times
  }

  /// As before each pass of a training run: gradients are cleared, and the weights count as changed, so that the engine's
  /// copies of them are made anew within the times.
  private func prepare() {
    net.clearGradients()
    guard !net.backwardSteps.isEmpty else { return }
    for entry in net.parameterTable.unique where entry.parameter.isLearned { entry.parameter.touch() }
  }
}
