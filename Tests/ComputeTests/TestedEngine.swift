import Compute
import ComputeCPU
import ComputeReference

/// The engines that known answers and the contract are tested on.
enum TestedEngine: String, CaseIterable, Sendable {
  case reference, cpu

  /// Convolutions add up as the formula does, whatever is faster.
  func make() throws -> any Engine {
    switch self {
    case .reference: ReferenceEngine()
    case .cpu: try CPUEngine(threads: 2, convolutions: .direct)
    }
  }
}
