import Compute
import ComputeReference

/// The engines that known answers and the contract are tested on.
enum TestedEngine: String, CaseIterable, Sendable {
  case reference

  func make() -> any Engine {
    switch self {
    case .reference: ReferenceEngine()
    }
  }
}
