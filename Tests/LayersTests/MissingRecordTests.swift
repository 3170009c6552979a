import CaffeSchema
import Compute
import ComputeReference
import Layers
import Nets
import Tensors
import Testing

/// A record without any label is as if it were not in the batch, whatever a loss divides by; a value without one is left
/// out alone.
@Suite struct MissingRecordTests {
  struct Loss: CustomTestStringConvertible, Sendable {
    var type: String
    var fields = ""
    /// The extents of a record's scores and labels, and the number of classes, 0 for real numbers.
    var scores: [Int]
    var labels: [Int]
    var classes: Int

    var testDescription: String { "\(type) \(fields)" }
  }

  static let divisors = ["VALID", "FULL", "BATCH_SIZE", "NONE", "PRE_FIXED pre_fixed_normalizer: 7"]
  static func divided(_ loss: Loss) -> [Loss] {
    divisors.map { divisor in
      var copy = loss
      copy.fields += " loss_param { normalization: \(divisor) }"
      return copy
    }
  }

  static let infogain = "infogain_loss_param { axis: 1 }"
  static let losses: [Loss] =
    divided(Loss(type: "SoftmaxWithLoss", scores: [3, 2, 2], labels: [2, 2], classes: 3))
    + divided(Loss(type: "FocalLoss", scores: [3], labels: [], classes: 3))
    + divided(Loss(type: "InfogainLoss", fields: infogain, scores: [3, 2], labels: [2], classes: 3))
    + divided(Loss(type: "SigmoidCrossEntropyLoss", scores: [4], labels: [4], classes: 2))
    + divided(Loss(type: "SmoothL1Loss", scores: [2, 2, 2], labels: [2, 2, 2], classes: 0)) + [
      Loss(type: "SigmoidCrossEntropyLoss", scores: [4], labels: [4], classes: 2),
      Loss(type: "SmoothL1Loss", scores: [4], labels: [4], classes: 0),
      Loss(type: "SoftmaxWithLossOHEM", scores: [3], labels: [], classes: 3),
      Loss(type: "SmoothL1LossOHEM", scores: [2, 2, 2], labels: [2, 2, 2], classes: 0),
      Loss(type: "EuclideanLoss", scores: [4], labels: [4], classes: 0),
      Loss(type: "L1Loss", scores: [4], labels: [4], classes: 0),
      Loss(type: "ManhattanLoss", scores: [4], labels: [4], classes: 0),
      Loss(type: "HingeLoss", scores: [3], labels: [], classes: 3),
      Loss(type: "HingeLoss", fields: "hinge_loss_param { norm: L2 }", scores: [3], labels: [], classes: 3),
      Loss(type: "MultinomialLogisticLoss", scores: [3], labels: [], classes: 3),
      Loss(
        type: "CenterLoss", fields: "center_loss_param { num_output: 3 center_filler { value: 0.5 } }", scores: [4],
        labels: [], classes: 3),
      Loss(type: "HashingLoss", scores: [4], labels: [1], classes: 2),
      Loss(
        type: "ContrastiveLoss", fields: "contrastive_loss_param { margin: 3 }", scores: [4], labels: [], classes: 2),
    ]

  struct Outcome {
    var loss: Float
    var gradients: [[Float]]
    var labelled: Int?
  }

  /// Runs a loss over records whose values depend on `records` alone; `label` may take labels away.
  static func run(
    _ loss: Loss, records: [Int], label: (_ record: Int, _ value: Int) -> Bool = { _, _ in true }
  ) throws -> Outcome {
    let count = records.count
    func input(_ name: String, _ extents: [Int]) -> String {
      let dims = ([count] + extents).map { "dim: \($0)" }.joined(separator: " ")
      return #"layer { name: "\#(name)" type: "Input" top: "\#(name)" input_param { shape { \#(dims) } } }"#
    }
    var text = [input("x", loss.scores)]
    var bottoms = ["x"]
    if loss.type == "ContrastiveLoss" {
      text.append(input("x2", loss.scores))
      bottoms.append("x2")
    }
    text.append(input("y", loss.labels))
    bottoms.append("y")
    if loss.type == "InfogainLoss" {
      text.append(
        #"layer { name: "h" type: "DummyData" top: "h" dummy_data_param { shape { dim: 3 dim: 3 } "#
          + "data_filler { value: 0.4 } } }")
      bottoms.append("h")
    }
    text.append(
      #"layer { name: "l" type: "\#(loss.type)" \#(bottoms.map { "bottom: \"\($0)\"" }.joined(separator: " ")) "#
        + #"top: "l" \#(loss.fields) }"#)
    var options = NetOptions(phase: .train)
    options.graph = GraphOptions(forceBackward: true)
    let net = try Net(
      try NetSource(text: text.joined(separator: "\n"), file: "net.prototxt"), engine: ReferenceEngine(),
      catalogue: LayerCatalogue(layerTypes), options: options)
    for (name, offset) in [("x", 0.0), ("x2", 1.0)] {
      guard let blob = net.blob(name) else { continue }
      let width = blob.count / count
      for (row, record) in records.enumerated() {
        for i in 0..<width {
          let value = Float(RandomStream(seed: 5, UInt64(record), UInt64(offset)).normal(i))
          blob.values[row * width + i] = loss.type == "MultinomialLogisticLoss" ? 0.1 + abs(value) : value
        }
      }
    }
    let labels = try #require(net.blob("y"))
    let width = labels.count / count
    for (row, record) in records.enumerated() {
      for i in 0..<width {
        let stream = RandomStream(seed: 9, UInt64(record))
        let value = loss.classes > 0 ? Float(stream.integer(i, below: loss.classes)) : Float(stream.normal(i))
        labels.values[row * width + i] = label(record, i) ? value : .nan
      }
    }
    try net.forward()
    net.clearGradients()
    try net.backward()
    let gradients = try ["x", "x2"].compactMap { try net.blob($0).map { try net.gradients(of: $0) } }
    let run = net.run(ofLayer: net.graph.nodes.count - 1) as? any LossRun
    return Outcome(loss: net.objective, gradients: gradients, labelled: run?.labelledCount)
  }

  @Test(arguments: losses)
  func recordsWithoutLabelsAreAsIfNotThere(_ loss: Loss) throws {
    let missing: Set = [0, 3]
    let whole = try Self.run(loss, records: Array(0..<6)) { record, _ in !missing.contains(record) }
    let rest = (0..<6).filter { !missing.contains($0) }
    let alone = try Self.run(loss, records: rest)
    #expect(abs(whole.loss - alone.loss) <= 1e-5 * abs(alone.loss) && alone.loss != 0)
    #expect(whole.labelled == alone.labelled)
    for (with, without) in zip(whole.gradients, alone.gradients) {
      let width = with.count / 6
      for record in 0..<6 {
        let gradient = with[(record * width)..<((record + 1) * width)]
        guard let row = rest.firstIndex(of: record) else {
          #expect(gradient.allSatisfy { $0 == 0 })
          continue
        }
        let wanted = without[(row * width)..<((row + 1) * width)]
        #expect(zip(gradient, wanted).allSatisfy { abs($0 - $1) <= 1e-6 + 1e-5 * abs($1) })
      }
    }
  }

  @Test(arguments: losses)
  func aBatchWithoutLabelsIsZero(_ loss: Loss) throws {
    let outcome = try Self.run(loss, records: Array(0..<4)) { _, _ in false }
    #expect(outcome.loss == 0)
    #expect(outcome.labelled == 0)
    #expect(outcome.gradients.allSatisfy { $0.allSatisfy { $0 == 0 } })
  }

  /// One coordinate of a landmark: the other one, and the other landmarks, learn as before.
  @Test(arguments: ["EuclideanLoss", "L1Loss", "SmoothL1Loss"])
  func aCoordinateIsLeftOutAlone(_ type: String) throws {
    let loss = Loss(type: type, scores: [4], labels: [4], classes: 0)
    let all = try Self.run(loss, records: [0, 1, 2])
    let holed = try Self.run(loss, records: [0, 1, 2]) { record, value in (record, value) != (1, 2) }
    var wanted = all.gradients[0]
    wanted[1 * 4 + 2] = 0
    #expect(holed.gradients[0] == wanted)
    #expect(holed.loss < all.loss)
  }
}
