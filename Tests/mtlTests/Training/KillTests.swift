import Foundation
import Tensors
import Testing

/// A run that is killed again and again ends as one that was left alone, bit for bit.
///
/// `MTL_KILLS` sets how often it is killed.
@Suite struct KillTests {
  private static let kills = Int(ProcessInfo.processInfo.environment["MTL_KILLS"] ?? "") ?? 8

  @Test func aKilledRunGoesOn() throws {
    let limits = "max_iter: \(40 * Self.kills) display: 1 snapshot: 3 test_iter: 1 test_interval: 5 average_loss: 7"
    let job = try TrainingJob(limits + #" type: "Adam""#)
    let alone = try job.run(["--keep", "2"])
    #expect(alone.status == 0)
    let last = "snap_iter_\(40 * Self.kills)"
    let weights = try job.contents("\(last).caffemodel")
    let state = try job.contents("\(last).solverstate")
    try job.removeSnapshots()

    // Moments by the lines of the log, of which some stand in the middle of a snapshot, and a little later.
    let draws = RandomStream(seed: 5)
    var resumed = 0
    for kill in 0..<Self.kills {
      let run = try job.start(["--resume", "--keep", "2"])
      let start = run.readLines(8 + draws.integer(3 * kill, below: 150))
      for _ in 0..<draws.integer(3 * kill + 1, below: 400) { sched_yield() }
      run.send(SIGKILL)
      // A run near its end may end before it is killed.
      let log = start + run.readLog()
      #expect(run.wait() == SIGKILL || log.contains("Optimization Done."), "\(log)")
      #expect(!log.contains("error:"), "\(log)")
      resumed += 1
      if log.contains("Optimization Done.") { try job.removeSnapshots() }
    }
    let end = try job.run(["--resume", "--keep", "2"])
    #expect(end.status == 0, "\(end.log)")
    #expect(resumed == Self.kills)
    #expect(try job.contents("\(last).caffemodel") == weights)
    #expect(try job.contents("\(last).solverstate") == state)
    // Nothing is left over.
    let names = try job.names()
    #expect(names.allSatisfy { !$0.contains(".part-") }, "\(names)")
    #expect(names.filter { $0.hasSuffix(".solverstate") }.count <= 3, "\(names)")
  }
}
