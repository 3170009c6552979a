import CaffeSchema
import Solvers
import Testing

@Suite struct RateScheduleTests {
  @Test(arguments: [
    // Up in a line, and then as the policy says at that iteration.
    (#"lr_policy: "fixed" warmup_iter: 4 warmup_start_lr: 0.2"#, [0: 0.2, 1: 0.4, 3: 0.8, 4: 1, 9: 1]),
    (#"lr_policy: "fixed" rampup_interval: 5"#, [0: 0, 1: 0.2, 5: 1]),
    (#"lr_policy: "step" gamma: 0.5 stepsize: 4 warmup_iter: 6"#, [3: 0.5, 5: 0.8333333, 6: 0.5, 8: 0.25]),
    (#"lr_policy: "cosine" max_iter: 100"#, [0: 1, 25: 0.8535534, 50: 0.5, 75: 0.1464466, 100: 0]),
    (#"lr_policy: "cosine" max_iter: 100 min_lr: 0.2"#, [0: 1, 50: 0.6, 100: 0.2]),
    (#"lr_policy: "cosine" max_iter: 100 warmup_iter: 10"#, [5: 0.5, 10: 0.9755283, 50: 0.5]),
    (#"lr_policy: "poly" power: 1 max_iter: 10 min_lr: 0.5"#, [0: 1, 5: 0.75, 10: 0.5]),
    (#"lr_policy: "exp" gamma: 0.5 min_lr: 0.2"#, [1: 0.5, 2: 0.25, 3: 0.2, 9: 0.2]),
    (
      #"lr_policy: "multifixed" stagelr: 0.3 stagelr: 0.1 stageiter: 5 stageiter: 8"#,
      [0: 0.3, 5: 0.3, 6: 0.1, 8: 0.1, 99: 0.1]
    ),
  ])
  func rates(_ text: String, _ expected: [Int: Float]) throws {
    let solver = try SolverSource(text: "base_lr: 1 " + text, file: "s.prototxt")
    let schedule = try RateSchedule(solver.parameter, places: solver.places)
    for (iteration, rate) in expected {
      #expect(abs(schedule.rate(iteration) - rate) < 1e-6, "iteration \(iteration): \(schedule.rate(iteration))")
    }
  }
}
