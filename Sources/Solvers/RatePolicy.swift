import CaffeSchema
import Diagnostics
import Glibc

/// How the learning rate goes over the iterations (`lr_policy`).
package enum RatePolicy: Sendable, Equatable {
  case fixed
  /// gamma^floor(iteration / stepsize)
  case step(gamma: Float, size: Int)
  /// gamma^iteration
  case exponential(gamma: Float)
  /// (1 + gamma iteration)^-power
  case inverse(gamma: Float, power: Float)
  /// gamma^(number of the given iterations that are past)
  case multistep(gamma: Float, at: [Int])
  /// (1 - iteration / max_iter)^power
  case polynomial(power: Float, end: Int)
  /// 1 / (1 + e^(-gamma (iteration - stepsize)))
  case sigmoid(gamma: Float, centre: Int)

  private static let names = ["fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid"]

  /// - Throws: `badSolver` for an unknown policy, with the nearest known, or when a field that it needs is missing.
  package init(_ solver: SolverParameter, places: FieldPlaces) throws {
    func fault(_ message: String, _ field: String = "lr_policy") -> Diagnostic {
      Diagnostic(.badSolver, message, at: places.location(field))
    }
    func need(_ present: Bool, _ field: String) throws {
      guard present else { throw fault("lr_policy \"\(solver.lrPolicy)\" needs \(field)") }
    }
    guard solver.hasLrPolicy else {
      throw fault("lr_policy is missing; one of \(RatePolicy.names.joined(separator: ", "))", "")
    }
    switch solver.lrPolicy {
    case "fixed":
      self = .fixed
    case "step":
      try need(solver.hasGamma, "gamma")
      try need(solver.hasStepsize, "stepsize")
      guard solver.stepsize > 0 else { throw fault("stepsize must be at least 1", "stepsize") }
      self = .step(gamma: solver.gamma, size: Int(solver.stepsize))
    case "exp":
      try need(solver.hasGamma, "gamma")
      self = .exponential(gamma: solver.gamma)
    case "inv":
      try need(solver.hasGamma, "gamma")
      try need(solver.hasPower, "power")
      self = .inverse(gamma: solver.gamma, power: solver.power)
    case "multistep":
      try need(solver.hasGamma, "gamma")
      self = .multistep(gamma: solver.gamma, at: solver.stepvalue.map(Int.init))
    case "poly":
      try need(solver.hasPower, "power")
      try need(solver.hasMaxIter && solver.maxIter > 0, "max_iter")
      self = .polynomial(power: solver.power, end: Int(solver.maxIter))
    case "sigmoid":
      try need(solver.hasGamma, "gamma")
      try need(solver.hasStepsize, "stepsize")
      self = .sigmoid(gamma: solver.gamma, centre: Int(solver.stepsize))
    default:
      let meant = nearestName(to: solver.lrPolicy, among: RatePolicy.names).map { "; did you mean \"\($0)\"?" } ?? ""
      throw fault(
        "unknown lr_policy \"\(solver.lrPolicy)\"\(meant) (known: \(RatePolicy.names.joined(separator: ", ")))")
    }
  }

  /// What base_lr is multiplied by. float32, as in the format's own program.
  package func factor(_ iteration: Int) -> Float {
    switch self {
    case .fixed: 1
    case .step(let gamma, let size): powf(gamma, Float(iteration / size))
    case .exponential(let gamma): powf(gamma, Float(iteration))
    case .inverse(let gamma, let power): powf(1 + gamma * Float(iteration), -power)
    case .multistep(let gamma, _): powf(gamma, Float(stepsDone(iteration)))
    case .polynomial(let power, let end): powf(1 - Float(iteration) / Float(end), power)
    case .sigmoid(let gamma, let centre): 1 / (1 + expf(-gamma * Float(iteration - centre)))
    }
  }

  /// The `current_step` of solver states.
  package func stepsDone(_ iteration: Int) -> Int {
    switch self {
    case .step(_, let size): iteration / size
    case .multistep(_, let at): at.prefix { iteration >= $0 }.count
    default: 0
    }
  }
}
