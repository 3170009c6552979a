import CaffeSchema
import ComputeReference
import Foundation
import Layers
import Nets
import Tensors
import Testing

@Suite struct LandmarkErrorTests {
  /// Two faces of three points, the eyes (0.2, 0.5) and (0.6, 0.8), 0.5 from each other. The first is 0.05 off in each
  /// point: an error of 0.1; the second is off by 0.2 in its third point alone: 0.2 / 3 / 0.5.
  private let truth: [Float] = [0.2, 0.5, 0.6, 0.8, 0.5, 0.5, 0.2, 0.5, 0.6, 0.8, 0.5, 0.5]
  private let predicted: [Float] = [0.25, 0.5, 0.55, 0.8, 0.53, 0.54, 0.2, 0.5, 0.6, 0.8, 0.5, 0.7]

  private func net(_ fields: String) throws -> SweepNet {
    try SweepNet(
      LayerExample(
        "faces", inputs: [.normal([2, 6]), .normal([2, 6])],
        """
        layer { name: "e" type: "LandmarkError" bottom: "in0" bottom: "in1" top: "e" top: "failures"
          landmark_error_param { \(fields) } }
        """, phase: .test, checksGradient: false), engine: ReferenceEngine())
  }

  private func values(_ fields: String, truth: [Float]? = nil) throws -> (error: Float, failures: Float, faces: Int) {
    let net = try net(fields)
    net.fillInput(0) { predicted[$0] }
    net.fillInput(1) { (truth ?? self.truth)[$0] }
    try net.forward()
    return try (net.outputs()[0][0], net.outputs()[1][0], #require(net.labelledCount))
  }

  @Test func isRelativeToTheEyes() throws {
    let all = try values("left_eye: 0 right_eye: 1 failure: 0.12")
    #expect(abs(all.error - (0.1 + 0.2 / 1.5) / 2) < 1e-6)
    #expect(all.failures == 0.5 && all.faces == 2)
    // Between the first point and the middle of the others, (0.55, 0.65).
    let middle = try values("left_eye: 0 right_eye: 1 right_eye: 2")
    let eyes = hypotf(0.35, 0.15)
    #expect(abs(middle.error - (0.05 + 0.2 / 3) / 2 / eyes) < 1e-6)
    #expect(middle.failures == 1)
  }

  @Test func leavesOutWhatIsNotKnown() throws {
    var truth = truth
    // The first face has no third point, the second no eye.
    truth[4] = .nan
    truth[6] = .nan
    let some = try values("left_eye: 0 right_eye: 1", truth: truth)
    #expect(abs(some.error - 0.1) < 1e-6 && some.faces == 1)
    // Eyes in one place.
    truth[2...3] = [0.2, 0.5]
    #expect(try values("left_eye: 0 right_eye: 1", truth: truth) == (0, 0, 0))
  }

  @Test func drawsTheCumulativeError() throws {
    let net = try net("left_eye: 0 right_eye: 1 failure: 0.12")
    net.fillInput(0) { predicted[$0] }
    net.fillInput(1) { truth[$0] }
    let run = try #require(net.net.run(ofLayer: net.net.graph.nodes.count - 1) as? any WholePassRun)
    let rows = GatheredRows(width: run.gatheredWidth)
    run.gathered = rows
    try net.forward()
    let curve = try #require(run.curves(over: rows).first)
    #expect(curve.points.map(\.y) == [0, 0.5, 1, 1])
    #expect(zip(curve.points.map(\.x), [0, 0.1, 0.2 / 1.5, 0.36]).allSatisfy { abs($0 - $1) < 1e-6 })
  }

  @Test func aPredictionThatIsNoNumberIsAsWrongAsCanBe() throws {
    let net = try net("left_eye: 0 right_eye: 1")
    net.fillInput(0) { $0 == 11 ? .nan : predicted[$0] }
    net.fillInput(1) { truth[$0] }
    try net.forward()
    #expect(try net.outputs()[0][0] == .infinity && net.outputs()[1][0] == 0.5 && net.labelledCount == 2)
  }

  static let faults = [
    ("right_eye: 1", "left_eye is missing; name the points that it is the mean of, counted from 0"),
    ("left_eye: 0 right_eye: 3", "point 3 is not among the 3, which count from 0"),
    ("left_eye: 0 right_eye: 1 failure: 0", "failure must be more than 0"),
  ]

  @Test(arguments: faults) func tellsWhatIsWrong(_ fields: String, _ message: String) {
    let fault = #expect(throws: (any Error).self) { try net(fields) }
    #expect(fault.map { "\($0)".contains(message) } == true, "\(String(describing: fault))")
  }
}
