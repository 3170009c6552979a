import CaffeSchema
import ComputeReference
import Layers
import Nets
import Tensors
import Testing

/// A label that is NaN means 'not labelled', in every loss and metric.
@Suite struct MissingLabelTests {
  static let cases = SweepTests.cases.filter { test in
    // A triplet has no label, objects are none, or no input of their example.
    !["DetectionEvaluate", "MultiBoxLoss", "TripletLoss"].contains(test.type)
      && layerTypes.contains { $0.type == test.type && ($0.role == .loss || $0.role == .metric) }
  }

  /// Which bottom tells a position's label.
  static func labels(of type: String) -> Int { type == "ContrastiveLoss" ? 2 : 1 }

  /// Without labels the value is 0, and nothing learns from it.
  @Test(arguments: cases)
  func noLabels(_ test: SweepTests.Case) throws {
    let net = try SweepNet(test.example, engine: ReferenceEngine())
    try net.draw(seed: 1)
    net.fillInput(Self.labels(of: test.type)) { _ in .nan }
    try net.forward()
    try net.backward()
    #expect(net.labelledCount == 0)
    #expect(try net.firstTop() == [0])
    #expect(try net.inputGradients().allSatisfy { $0.allSatisfy { $0 == 0 } })
  }

  /// A record without a label neither counts nor learns; the others give what they would give alone.
  @Test(arguments: cases)
  func someLabels(_ test: SweepTests.Case) throws {
    let net = try SweepNet(test.example, engine: ReferenceEngine())
    try net.draw(seed: 3)
    try net.forward()
    let count = net.labelledCount
    net.fillInput(Self.labels(of: test.type)) { $0 == 0 ? .nan : nil }
    try net.forward()
    try net.backward()
    #expect(
      try #require(net.labelledCount) < #require(count)
        || ["EuclideanLoss", "L1Loss", "ManhattanLoss", "SmoothL1Loss", "SmoothL1LossOHEM"].contains(test.type))
    #expect(try net.firstTop().allSatisfy(\.isFinite))
    #expect(try net.inputGradients().allSatisfy { $0.allSatisfy(\.isFinite) })
    guard let scores = try net.inputGradients().first, test.type != "ContrastiveLoss" else { return }
    #expect(scores[0] == 0)
  }
}
