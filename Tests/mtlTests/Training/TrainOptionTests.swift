import Foundation
import Testing

/// Options of `mtl train` that only the whole program shows.
@Suite struct TrainOptionTests {
  @Test func resumeStartsAtTheBeginningAndGoesOnLater() throws {
    let job = try TrainingJob("max_iter: 20 display: 10 snapshot: 10")
    let first = try job.run(["--resume"])
    #expect(first.status == 0)
    #expect(first.log.contains("there is no whole snapshot 'snap_iter_…'; starting at the beginning"))
    let weights = try job.contents("snap_iter_20.caffemodel")
    try job.write("cut", to: "snap_iter_20.solverstate")
    // Another seed in the solver file does not change a run that goes on.
    try job.writeSolver("max_iter: 20 display: 10 snapshot: 10", seed: 7)
    let second = try job.run(["-resume=true"])
    #expect(second.status == 0)
    #expect(second.log.contains("skipped: 'snap_iter_20.solverstate' is damaged: it has 3 bytes"))
    #expect(second.log.contains("random_seed 7 is not that of the run which goes on; its 1 is used"))
    #expect(second.log.contains("Resuming from snap_iter_10.solverstate"))
    #expect(try job.contents("snap_iter_20.caffemodel") == weights)
  }

  @Test func startsFromTheWeightsThatTheSolverNames() throws {
    let job = try TrainingJob("max_iter: 3 display: 0")
    #expect(try job.run().status == 0)
    try job.writeSolver(#"max_iter: 3 display: 0 weights: "snap_iter_3.caffemodel""#)
    let outcome = try job.run()
    #expect(outcome.log.contains("taken from 'snap_iter_3.caffemodel': hidden, score, size"))
    #expect(outcome.log.contains("Finetuning from snap_iter_3.caffemodel"))
  }

  @Test func levelAndStageChooseLayers() throws {
    let net = TrainingJob.net.replacing(
      "include { phase: TEST }", with: "include { phase: TRAIN min_level: 2 stage: \"a\" stage: \"b\" }")
    let job = try TrainingJob("max_iter: 1 display: 1", net: net)
    #expect(!(try job.run().log.contains("accuracy = ")))
    #expect(try job.run(["--level", "2", "--stage", "a,b"]).log.contains("accuracy = "))
  }

  /// A net of the working directory goes before that beside the solver's file, as Caffe knows the former alone.
  @Test func tellsWhereTheNetsComeFrom() throws {
    let job = try TrainingJob("max_iter: 1 display: 0 test_iter: 1 test_interval: 1")
    let own = try job.run().log
    #expect(own.contains("Creating training net from net file: net.prototxt"))
    #expect(own.contains("Creating test net (#0) specified by net file: net.prototxt"))
    #expect(!own.contains("is not read"))
    try FileManager.default.createDirectory(atPath: "\(job.path)/sub", withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: "\(job.path)/solver.prototxt", toPath: "\(job.path)/sub/solver.prototxt")
    try FileManager.default.moveItem(atPath: "\(job.path)/net.prototxt", toPath: "\(job.path)/sub/net.prototxt")
    let beside = try job.run(["--solver", "sub/solver.prototxt"]).log
    #expect(beside.contains("Creating training net from net file: sub/net.prototxt"), "\(beside)")
    try job.write(TrainingJob.net, to: "net.prototxt")
    let both = try job.run(["--solver", "sub/solver.prototxt"]).log
    #expect(
      both.contains(
        "the net is 'net.prototxt' of the working directory; 'sub/net.prototxt' beside the solver's file is not read"))
  }

  @Test(arguments: [
    (["--snapshot", "a", "--resume"], "Give either --snapshot or --resume, not both."),
    (["--snapshot", "a", "--weights", "b"], "Give either --weights"), (["--keep", "0"], "--keep must be at least 1."),
    (["--on-nonfinite", "pause"], "'stop', 'skip' or 'rollback'"), (["--sigint-effect", "x"], "sigint"),
  ])
  func wrongOptionsEndWithUsage(_ options: [String], _ message: String) throws {
    let outcome = try TrainingJob("max_iter: 1").run(options)
    #expect(outcome.status == 64)
    #expect(outcome.log.contains(message), "\(outcome.log)")
  }

  @Test func writesMetricsAndCurves() throws {
    let job = try TrainingJob("max_iter: 4 display: 2 test_iter: 1 test_interval: 2")
    let outcome = try job.run(["--tensorboard", "board/a", "--keep-best", "accuracy"])
    #expect(outcome.status == 0, "\(outcome.log)")
    let lines = String(decoding: try job.contents("snap_metrics.jsonl"), as: UTF8.self).split(separator: "\n")
    // Displays at 0 and 2, tests at 0, 2 and 4, and what the tasks' outputs are.
    #expect(lines.count == 6)
    #expect(lines.filter { $0.contains("task_outputs") }.count == 1)
    #expect(try FileManager.default.contentsOfDirectory(atPath: "\(job.path)/board/a").count == 1)
    #expect(job.exists("snap_best.caffemodel"))
  }
}
