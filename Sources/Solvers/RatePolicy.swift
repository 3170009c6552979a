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
  /// (1 + cos(pi iteration / max_iter)) / 2 (Loshchilov, Hutter: SGDR, ICLR 2017, without restarts)
  case cosine(end: Int)
  /// Each `stagelr` up to and with its `stageiter`, whatever base_lr says: Intel's fork.
  case stages(rates: [Float], ends: [Int])

  private static let names = ["fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid", "cosine", "multifixed"]

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
    case "cosine":
      try need(solver.hasMaxIter && solver.maxIter > 0, "max_iter")
      self = .cosine(end: Int(solver.maxIter))
    case "multifixed":
      guard !solver.stagelr.isEmpty, solver.stagelr.count == solver.stageiter.count else {
        throw fault(
          "lr_policy \"multifixed\" needs stagelr and stageiter, one of each for a stage; given are "
            + "\(solver.stagelr.count) and \(solver.stageiter.count)", "stagelr")
      }
      self = .stages(rates: solver.stagelr, ends: solver.stageiter.map(Int.init))
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
    case .cosine(let end): (1 + cosf(.pi * Float(iteration) / Float(end))) / 2
    case .stages: 1
    }
  }

  /// The learning rate.
  ///
  /// - Parameter floor: what it does not fall below; poly and cosine end there.
  func rate(_ iteration: Int, base: Float, floor: Float) -> Float {
    let rate =
      switch self {
      case .polynomial, .cosine: (base - floor) * factor(iteration) + floor
      case .stages(let rates, let ends): rates[min(ends.firstIndex { iteration <= $0 } ?? .max, rates.count - 1)]
      default: base * factor(iteration)
      }
    return max(rate, floor)
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

/// The learning rate over the iterations: a policy, perhaps with a linear way up to base_lr in front of it.
package struct RateSchedule: Sendable {
  package let policy: RatePolicy
  private let base: Float
  /// The rate does not fall below this (`min_lr`).
  private let floor: Float
  /// The iterations of the way up, and where it starts.
  private let warmUp: (iterations: Int, start: Float)

  /// - Throws: what `RatePolicy` throws; `badSolver` for a way up that is given twice or less than zero.
  package init(_ solver: SolverParameter, places: FieldPlaces) throws {
    policy = try RatePolicy(solver, places: places)
    base = solver.baseLr
    floor = solver.minLr
    guard !(solver.warmupIter != 0 && solver.rampupInterval != 0) else {
      throw Diagnostic(
        .badSolver, "give either warmup_iter or rampup_interval, which mean the same",
        at: places.location("rampup_interval"))
    }
    // Two forks' names for it. NVIDIA's grew by the square of the iteration in its last version, linearly before.
    warmUp =
      solver.warmupIter != 0
      ? (Int(solver.warmupIter), solver.warmupStartLr) : (Int(solver.rampupInterval), solver.rampupLr)
    guard warmUp.iterations >= 0 else {
      throw Diagnostic(.badSolver, "warmup_iter must be at least 0", at: places.location("warmup_iter"))
    }
    guard floor >= 0, floor <= base else {
      throw Diagnostic(
        .badSolver, "min_lr \(floor) must be between 0 and base_lr \(base)", at: places.location("min_lr"))
    }
  }

  package func rate(_ iteration: Int) -> Float {
    guard iteration < warmUp.iterations else { return policy.rate(iteration, base: base, floor: floor) }
    let count = Float(warmUp.iterations)
    return (Float(iteration) * base + (count - Float(iteration)) * warmUp.start) / count
  }
}
