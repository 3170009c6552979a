import CaffeSchema
import Diagnostics

/// Layer-wise adaptive rates (LARC: You, Gitman, Ginsburg: Large batch training of convolutional networks, 2017, in the
/// form of NVIDIA's fork): the rate of a parameter w with gradient g is taken from eta |w| / |g|, and lr_mult counts
/// only as zero or not.
package struct LayerRates: Sendable, Equatable {
  package enum Policy: String, Sendable {
    /// The solver's rate times that.
    case scale
    /// The lower of the two.
    case clip
  }

  private let eta: Float
  private let policy: Policy

  /// nil where the solver asks for none.
  ///
  /// - Throws: `badSolver` for an unknown `larc_policy`.
  init?(_ solver: SolverParameter, places: FieldPlaces) throws {
    guard solver.larc else { return nil }
    guard let policy = Policy(rawValue: solver.larcPolicy) else {
      throw Diagnostic(
        .badSolver, "unknown larc_policy \"\(solver.larcPolicy)\" (known: scale, clip)",
        at: places.location("larc_policy"))
    }
    eta = solver.larcEta
    self.policy = policy
  }

  func rate(_ rate: Float, weightNorm: Double, gradientNorm: Double) -> Float {
    let local = weightNorm > 0 && gradientNorm > 0 ? eta * Float(weightNorm / gradientNorm) : 1
    return policy == .scale ? rate * local : min(rate, local)
  }
}
