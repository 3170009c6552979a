import CaffeSchema
import Diagnostics
import Solvers
import Testing

@Suite struct RatePolicyTests {
  @Test(arguments: [
    (#"lr_policy: "fixed""#, 500, 1),
    (#"lr_policy: "step" gamma: 0.1 stepsize: 100"#, 99, 1),
    (#"lr_policy: "step" gamma: 0.1 stepsize: 100"#, 250, 0.01),
    (#"lr_policy: "exp" gamma: 0.5"#, 3, 0.125),
    (#"lr_policy: "inv" gamma: 0.0001 power: 0.75"#, 10, 0.99925),
    (#"lr_policy: "multistep" gamma: 0.5 stepvalue: 10 stepvalue: 20"#, 9, 1),
    (#"lr_policy: "multistep" gamma: 0.5 stepvalue: 10 stepvalue: 20"#, 10, 0.5),
    (#"lr_policy: "multistep" gamma: 0.5 stepvalue: 10 stepvalue: 20"#, 400, 0.25),
    (#"lr_policy: "poly" power: 2 max_iter: 100"#, 50, 0.25),
    (#"lr_policy: "poly" power: 1 max_iter: 100"#, 100, 0),
    (#"lr_policy: "sigmoid" gamma: -0.1 stepsize: 50"#, 50, 0.5),
  ])
  func factors(_ text: String, _ iteration: Int, _ factor: Float) throws {
    let solver = try SolverSource(text: text, file: "s.prototxt")
    let policy = try RatePolicy(solver.parameter, places: solver.places)
    #expect(abs(policy.factor(iteration) - factor) < 1e-5)
  }

  @Test(arguments: [
    (#"lr_policy: "stp""#, "did you mean \"step\"?"), (#"lr_policy: "step" gamma: 0.1"#, "needs stepsize"),
    (#"lr_policy: "inv" gamma: 1"#, "needs power"), ("base_lr: 1", "lr_policy is missing"),
  ])
  func refusesWhatIsIncomplete(_ text: String, _ message: String) throws {
    let solver = try SolverSource(text: text, file: "s.prototxt")
    let fault = #expect(throws: Diagnostic.self) { try RatePolicy(solver.parameter, places: solver.places) }
    #expect(fault?.message.contains(message) == true)
  }
}
