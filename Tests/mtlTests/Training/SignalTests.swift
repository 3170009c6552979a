import Foundation
import Testing

/// What signals do to a training run.
@Suite struct SignalTests {
  private static let endless = "max_iter: 1000000 display: 1"

  @Test(arguments: [
    (SIGINT, [String]()), (SIGTERM, []), (SIGHUP, ["--sighup_effect", "stop"]), (SIGTERM, ["--sigint_effect=none"]),
  ])
  func snapshotAndStop(_ signal: Int32, _ options: [String]) throws {
    let job = try TrainingJob(Self.endless)
    let run = try job.start(options)
    run.readLog(until: "Iteration 3 ")
    run.send(signal)
    let log = run.readLog()
    #expect(run.wait() == 0)
    #expect(log.contains("Optimization stopped early."))
    #expect(!log.contains("Optimization Done."))
    #expect(try job.names().filter { $0.hasSuffix(".solverstate") }.count == 1)
  }

  @Test(arguments: [(SIGHUP, [String]()), (SIGINT, ["--sigint_effect", "snapshot"])])
  func snapshotAndGoOn(_ signal: Int32, _ options: [String]) throws {
    let job = try TrainingJob(Self.endless)
    let run = try job.start(options)
    run.readLog(until: "Iteration 3 ")
    for count in 1...2 {
      run.send(signal)
      run.readLog { $0.components(separatedBy: "Snapshotting solver state").count > count }
    }
    run.send(SIGTERM)
    #expect(run.readLog().contains("Optimization stopped early."))
    #expect(run.wait() == 0)
    #expect(try job.names().filter { $0.hasSuffix(".solverstate") }.count >= 2)
  }

  @Test func noEffect() throws {
    let job = try TrainingJob("max_iter: 300 display: 100")
    let run = try job.start(["--sigint_effect=none", "--sighup_effect=none"])
    run.readLog(until: "Iteration 0 ")
    run.send(SIGINT)
    run.send(SIGHUP)
    run.send(SIGINT)
    #expect(run.readLog().contains("Optimization Done."))
    #expect(run.wait() == 0)
  }

  /// In the middle of an iteration that takes long.
  @Test func aSecondOneStopsAtOnce() throws {
    let slow = TrainingJob.net.replacing("dim: 8 dim: 20", with: "dim: 8 dim: 20 dim: 400")
      .replacing("num_output: 300", with: "num_output: 4000")
    let job = try TrainingJob("max_iter: 1000000 display: 1 iter_size: 100000", net: slow)
    let run = try job.start()
    run.readLog(until: "Learning Rate Policy")
    run.send(SIGINT)
    while run.handles(SIGINT) { sched_yield() }
    run.send(SIGINT)
    #expect(run.wait() == SIGINT)
    #expect(run.process.terminationReason == .uncaughtSignal)
    #expect(!(try job.names().contains { $0.hasSuffix(".solverstate") }))
  }

  /// As when Ctrl-C ends the 'tee' behind the program too.
  @Test func aLogThatNobodyReadsDoesNoHarm() throws {
    let job = try TrainingJob("max_iter: 50 display: 1")
    let run = try job.start()
    run.readLog(until: "Iteration 0 ")
    run.stopReading()
    #expect(run.wait() == 0)
    #expect(job.exists("snap_iter_50.solverstate"))
  }
}
