import Compute
import ComputeCPU
import ComputeReference

/// The engines that known answers and the contract are tested on.
enum TestedEngine: String, CaseIterable, Sendable {
  case reference, cpu

  func make() -> any Engine {
    switch self {
    case .reference: ReferenceEngine()
    case .cpu: TestedEngine.cpuEngine()
    }
  }

  private static func cpuEngine() -> CPUEngine {
    do { return try CPUEngine(threads: 2, convolutions: .direct) } catch { fatalError("\(error)") }
  }
}
