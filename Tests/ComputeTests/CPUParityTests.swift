import Compute
import ComputeCPU
import ComputeCases
import ComputeReference
import Testing

/// Every case of the list, in both directions, against the reference.
@Suite struct CPUParityTests {
  @Test(arguments: OpCase.small, OpRun.Offer.allCases)
  func agreesWithTheReference(_ opCase: OpCase, _ offer: OpRun.Offer) throws {
    let engine = try CPUEngine(threads: 2)
    try compare(engine: engine, against: ReferenceEngine(), case: opCase, offer: offer)
  }
}
