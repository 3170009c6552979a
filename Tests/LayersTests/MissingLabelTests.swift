import CaffeSchema
import ComputeReference
import Layers
import Nets
import Tensors
import Testing

/// A label that is NaN means 'not labelled', in every loss and metric.
@Suite struct MissingLabelTests {
  static let cases = SweepTests.cases.filter { test in
    // Objects are none, or no input of their example.
    !["DetectionEvaluate", "MultiBoxFocalLoss", "MultiBoxLoss"].contains(test.type) && !isTriplet(test)
      && layerTypes.contains { $0.type == test.type && ($0.role == .loss || $0.role == .metric) }
  }

  /// A triplet that is given has no label.
  static func isTriplet(_ test: SweepTests.Case) -> Bool {
    test.type == "TripletLoss" && labels(of: test) == nil
  }

  /// Which bottom tells a position's label: the first that is drawn as one, or the second.
  static func labels(of test: SweepTests.Case) -> Int? {
    test.example.inputs.firstIndex { if case .labels = $0 { true } else { false } }
      ?? (test.type == "TripletLoss" ? nil : 1)
  }

  /// Without labels the value is 0, and nothing learns from it.
  @Test(arguments: cases)
  func noLabels(_ test: SweepTests.Case) throws {
    let net = try SweepNet(test.example, engine: ReferenceEngine())
    try net.draw(seed: 1)
    net.fillInput(try #require(Self.labels(of: test))) { _ in .nan }
    try net.forward()
    try net.backward()
    #expect(net.labelledCount == 0)
    #expect(try net.firstTop().allSatisfy { $0 == 0 })
    #expect(try net.inputGradients().allSatisfy { $0.allSatisfy { $0 == 0 } })
  }

  /// A record without a label neither counts nor learns; the others give what they would give alone.
  @Test(arguments: cases)
  func someLabels(_ test: SweepTests.Case) throws {
    let net = try SweepNet(test.example, engine: ReferenceEngine())
    try net.draw(seed: 3)
    try net.forward()
    let count = net.labelledCount
    let labels = try #require(Self.labels(of: test))
    // The labels of a sequence are one; a NaN among them only fills it up.
    let missing = test.type == "CtcLoss" ? test.example.inputs[labels].shape.count(1...) : 1
    net.fillInput(labels) { $0 < missing ? .nan : nil }
    try net.forward()
    try net.backward()
    #expect(
      try #require(net.labelledCount) < #require(count)
        || ["EuclideanLoss", "L1Loss", "L2Loss", "ManhattanLoss", "SmoothL1Loss", "SmoothL1LossOHEM"].contains(
          test.type)
    )
    #expect(try net.firstTop().allSatisfy(\.isFinite))
    #expect(try net.inputGradients().allSatisfy { $0.allSatisfy(\.isFinite) })
    guard let scores = try net.inputGradients().first, test.type != "ContrastiveLoss" else { return }
    #expect(scores[0] == 0)
  }
}
