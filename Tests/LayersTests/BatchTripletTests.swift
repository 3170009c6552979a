import CaffeSchema
import ComputeReference
import Diagnostics
import Layers
import Nets
import Tensors
import Testing

/// Losses over the pairs and triplets of a batch, by hand: embeddings on a line.
@Suite struct BatchTripletTests {
  /// The loss and the gradient of the embeddings.
  private func run(
    _ type: String, _ param: String, embeddings: [Float], labels: [[Float]], width: Int = 1
  ) throws -> (loss: Float, gradient: [Float]) {
    let count = embeddings.count / width
    var text = #"layer { name: "x" type: "Input" top: "x" input_param { shape { dim: \#(count) dim: \#(width) } } }"#
    var bottoms = ""
    for (index, values) in labels.enumerated() {
      text +=
        #"layer { name: "l\#(index)" type: "Input" top: "l\#(index)" input_param { shape { dim: \#(count) dim: \#(values.count / count) } } }"#
      bottoms += #" bottom: "l\#(index)""#
    }
    text += #"layer { name: "loss" type: "\#(type)" bottom: "x" \#(bottoms) top: "loss" \#(param) }"#
    var options = NetOptions(phase: .train)
    options.keepsEverything = true
    options.graph.forceBackward = true
    let net = try Net(
      NetSource(text: text, file: "net"), engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes),
      options: options)
    let x = try #require(net.blob("x"))
    for (index, value) in embeddings.enumerated() { x.values[index] = value }
    for (index, values) in labels.enumerated() {
      let blob = try #require(net.blob("l\(index)"))
      for (place, value) in values.enumerated() { blob.values[place] = value }
    }
    let loss = try net.forward()
    try net.backward()
    return (loss, try net.gradients(of: x))
  }

  /// Two records at 0 and 1 of one label, one at 2 of another. Squared distances: 1 between the first two, 4 and 1 to the
  /// third.
  static let line: [Float] = [0, 1, 2]
  static let labels: [Float] = [0, 0, 1]

  @Test func allTriplets() throws {
    // Anchor 0: 2 + 1 - 4 < 0. Anchor 1: 2 + 1 - 1 = 2, the only one that costs: half of 2.
    let (loss, gradient) = try run(
      "TripletLoss", "triplet_loss_param { margin: 2 }", embeddings: Self.line, labels: [Self.labels])
    #expect(loss == 1)
    // Of (x1 - x0)^2 / 2 - (x1 - x2)^2 / 2.
    #expect(gradient == [-1, 2, -1])
    let all = try run(
      "TripletLoss", "triplet_loss_param { margin: 2 average_over_all: true }", embeddings: Self.line,
      labels: [Self.labels])
    #expect(all.loss == 0.5)
    #expect(all.gradient == [-0.5, 1, -0.5])
  }

  @Test func roots() throws {
    // Anchor 0: 2 + 1 - 2 = 1. Anchor 1: 2 + 1 - 1 = 2. Half of the mean.
    let (loss, gradient) = try run(
      "TripletLoss", "triplet_loss_param { margin: 2 distance: EUCLIDEAN }", embeddings: Self.line,
      labels: [Self.labels])
    #expect(loss == 0.75)
    // A quarter of 2 |x0 - x1| - |x0 - x2| - |x1 - x2|.
    #expect(gradient == [-0.25, 0.75, -0.5])
  }

  @Test func hardest() throws {
    // Label 0 at 0, 1, 3; label 1 at 4, 6. Anchor 0: positive 3 (9), negative 4 (16). 1: positive 3 (4), negative 4 (9).
    // 3: positive 0 (9), negative 4 (1). 4: positive 6 (4), negative 3 (1). 6: positive 4 (4), negative 3 (9).
    let (loss, _) = try run(
      "TripletLoss", "triplet_loss_param { margin: 1 mining: BATCH_HARD }", embeddings: [0, 1, 3, 4, 6],
      labels: [[0, 0, 0, 1, 1]])
    // 1 + 9 - 1 = 9 and 1 + 4 - 1 = 4 cost: half of 6.5.
    #expect(loss == 3.25)
  }

  @Test func semiHard() throws {
    // Label 0 at 0 and 2; label 1 at 1, 3 and 7. Anchor 0 to 2 (4): the nearest negative beyond is 3 (9): no cost at margin
    // 1. Anchor 2 to 0 (4): nearest beyond is 7 (25). Of label 1: 1 to 3 (4): negatives at 1 and 1, none beyond, farthest:
    // 1 + 4 - 1 = 4. 1 to 7 (36): farthest 1: 36. 3 to 1 (4): negatives 9, 1; beyond: 9. 3 to 7 (16): farthest 9: 8. 7 to 1
    // (36): beyond: 49. 7 to 3 (16): beyond: 25.
    let (loss, _) = try run(
      "TripletLoss", "triplet_loss_param { margin: 1 mining: SEMI_HARD }", embeddings: [0, 2, 1, 3, 7],
      labels: [[0, 0, 1, 1, 1]])
    #expect(loss == (4 + 36 + 8) / 3 / 2)
  }

  @Test func marginsByOverlap() throws {
    // The anchors have attributes 0 and 1, the negative 1 and 2: one of three in common, so the margin is 6 * 2 / 3 = 4.
    // Anchor 0: 4 + 1 - 4 = 1; anchor 1: 4 + 1 - 1 = 4.
    let (loss, _) = try run(
      "TripletLoss", "triplet_loss_param { margin: 6 mining: BATCH_ALL }", embeddings: Self.line,
      labels: [Self.labels, [1, 1, 0, 1, 1, 0, 0, 1, 1]])
    #expect(abs(loss - 1.25) < 1e-6)
    // The same attributes everywhere leave no margin: 0 + 1 - 1 = 0.
    let same = try run(
      "TripletLoss", "triplet_loss_param { margin: 6 mining: BATCH_ALL }", embeddings: Self.line,
      labels: [Self.labels, [1, 1, 1]])
    #expect(same.loss == 0)
    #expect(same.gradient == [0, 0, 0])
  }

  @Test func labelTree() throws {
    // Fine labels 0 0 1 2, coarse 0 0 0 1, at 0 1 3 5. Anchor 0: p+ 1 (1), p- 3 (9), n 5 (25). 1: p+ 0 (1), p- 3 (4), n 5
    // (16). 3: no p+; p- 0 (9), 1 (4), n 5 (4). 5: no triplet.
    let (loss, gradient) = try run(
      "QuadrupletLoss", "quadruplet_loss_param { margin: 4 margin: 1 }", embeddings: [0, 1, 3, 5],
      labels: [[0, 0, 1, 2], [0, 0, 0, 1]])
    // Anchor 1: 4 + 1 - 4 = 1. Anchor 3: 1 + 9 - 4 = 6 and 1 + 4 - 4 = 1. All others are below 0.
    #expect(abs(loss - 8 / 6) < 1e-6)
    #expect(abs(gradient.reduce(0, +)) < 1e-6)
  }

  /// Without a record that shares the coarse label alone, the margins of both levels are kept from the others.
  @Test func labelTreeWithoutALevel() throws {
    let (loss, _) = try run(
      "QuadrupletLoss", "quadruplet_loss_param { margin: 4 margin: 1 }", embeddings: [0, 1, 2],
      labels: [[0, 0, 1], [0, 0, 1]])
    // Anchor 0: 5 + 1 - 4 = 2. Anchor 1: 5 + 1 - 1 = 5.
    #expect(loss == 1.75)
  }

  static let losses: [(type: String, param: String, labels: Int)] = [
    ("TripletLoss", "", 1), ("TripletLoss", "triplet_loss_param { distance: EUCLIDEAN }", 1),
    ("TripletLoss", "triplet_loss_param { mining: BATCH_HARD }", 1),
    ("TripletLoss", "triplet_loss_param { mining: BATCH_HARD distance: EUCLIDEAN }", 1),
    ("TripletLoss", "triplet_loss_param { mining: SEMI_HARD }", 1),
    ("QuadrupletLoss", "quadruplet_loss_param { margin: 1 margin: 1 }", 2),
    ("ContrastiveLoss", "", 1), ("ContrastiveLoss", "contrastive_loss_param { all_pairs: true }", 1),
    ("ContrastiveLoss", "contrastive_loss_param { legacy_version: true }", 1),
  ]

  /// Embeddings that are all one, in batches with one label, with a label each, without labels.
  @Test(arguments: losses.indices)
  func degenerateBatches(_ index: Int) throws {
    let loss = Self.losses[index]
    for labels: [Float] in [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 1, 1], [.nan, .nan, .nan, .nan], [0, .nan, 0, 1]] {
      for embeddings: [Float] in [[0, 0, 0, 0, 0, 0, 0, 0], [1, 2, 1, 2, 1, 2, 1, 2], [1, 0, 2, 0, 5, 1, 0, 0]] {
        let outcome = try run(
          loss.type, loss.param, embeddings: embeddings, labels: [[Float]](repeating: labels, count: loss.labels),
          width: 2)
        #expect(outcome.loss.isFinite && outcome.loss >= 0)
        #expect(outcome.gradient.allSatisfy { $0.isFinite })
        let areAlike = Set(embeddings).count < 3
        if areAlike || Set(labels).count == 4 && loss.type != "ContrastiveLoss" {
          #expect(outcome.gradient.allSatisfy { $0 == 0 }, "\(loss) \(labels) \(embeddings)")
        }
        if loss.type != "ContrastiveLoss", [1, 4].contains(Set(labels.map(\.bitPattern)).count) {
          #expect(outcome.loss == 0)
        }
      }
    }
  }

  /// A vector of length 0 has no direction: it stays 0, and nothing is no number.
  @Test(arguments: ["Normalization", "NormalizationL2", "Normalize"])
  func zeroVectors(_ type: String) throws {
    let text = """
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 } } }
      layer { name: "y" type: "Input" top: "y" input_param { shape { dim: 4 } } }
      layer { name: "n" type: "\(type)" bottom: "x" top: "n" }
      layer { name: "loss" type: "TripletLoss" bottom: "n" bottom: "y" top: "loss" }
      """
    var options = NetOptions(phase: .train)
    options.keepsEverything = true
    options.graph.forceBackward = true
    let net = try Net(
      NetSource(text: text, file: "net"), engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes),
      options: options)
    let (x, y) = try (#require(net.blob("x")), #require(net.blob("y")))
    for (index, value) in [Float(0), 0, 3, 4, 0, 0, 1e-30, 0].enumerated() { x.values[index] = value }
    for (index, value) in [Float(0), 0, 1, 1].enumerated() { y.values[index] = value }
    #expect(try net.forward().isFinite)
    try net.backward()
    #expect(try net.gradients(of: x).allSatisfy { $0.isFinite })
    let n = try #require(net.blob("n"))
    #expect(try Array(net.values(of: n).prefix(2)) == [0, 0])
  }

  @Test func faults() {
    func fault(_ type: String, _ param: String, labels: [[Float]]) -> String {
      do {
        _ = try run(type, param, embeddings: [0, 1, 2], labels: labels)
        return "none"
      } catch {
        return "\(error)"
      }
    }
    #expect(
      fault("QuadrupletLoss", "quadruplet_loss_param { margin: 1 }", labels: [[0, 0, 1], [0, 0, 1]])
        .hasSuffix("give margin once for each level of labels: 2 times, not 1"))
    #expect(
      fault("TripletLoss", "triplet_loss_param { distance: EUCLIDEAN }", labels: [[0, 0, 1], [0, 0, 1]])
        .hasSuffix("distance is not supported: it is of triplets that are formed in the batch; see mining"))
  }
}
