import CaffeSchema
import ComputeReference
import Glibc
import Layers
import Nets
import Tensors
import Testing

/// Layers that forks added, against values worked out by hand.
@Suite struct ForkLayerTests {
  private func run(_ inputs: [(Shape, [Float])], _ layer: String, phase: Phase = .train) throws -> SweepNet {
    let example = LayerExample("by hand", inputs: inputs.map { .normal($0.0) }, layer, phase: phase)
    let net = try SweepNet(example, engine: ReferenceEngine())
    for (index, input) in inputs.enumerated() { net.fillInput(index) { input.1[$0] } }
    try net.forward()
    return net
  }

  @Test func nearestValues() throws {
    let net = try run(
      [([1, 1, 2, 3], [1, 2, 3, 4, 5, 6])],
      #"layer { name: "i" type: "NNInterp" bottom: "in0" top: "i" nninterp_param { height: 3 width: 5 } }"#)
    #expect(try net.firstTop() == [1, 1, 2, 2, 3, 1, 1, 2, 2, 3, 4, 4, 5, 5, 6])
  }

  /// The second record has no label.
  @Test func divergenceOfMaps() throws {
    let net = try run(
      [([2, 1, 1, 2], [3, 3, 1, 1]), ([2, 1, 1, 2], [1, 3, 1, .nan])],
      #"layer { name: "l" type: "KLDivLoss" bottom: "in0" bottom: "in1" top: "l" }"#)
    try net.backward()
    #expect(abs(try net.firstTop()[0] - (0.25 * logf(0.5) + 0.75 * logf(1.5))) < 1e-5)
    // p - q over p times the sum.
    let gradients = try #require(try net.inputGradients().first)
    let expected: [Float] = [Float(0.5 - 0.25) / 3, Float(0.5 - 0.75) / 3, 0, 0]
    for (found, wanted) in zip(gradients, expected) { #expect(abs(found - wanted) < 1e-5) }
  }

  @Test func nothingIsLeftOfADropoutOfAll() throws {
    let net = try run(
      [([3], [1, -2, .infinity])],
      #"layer { name: "d" type: "Dropout" bottom: "in0" top: "d" dropout_param { dropout_ratio: 1 } }"#)
    #expect(try net.firstTop() == [0, 0, 0])
  }

  @Test func denserBoxes() throws {
    let net = try run(
      [([1, 1, 1, 1], [0]), ([1, 1, 1, 1], [0])],
      """
      layer { name: "p" type: "PriorBox" bottom: "in0" bottom: "in1" top: "p" prior_box_param { min_size: 4 img_size: 8
        denser_prior_boxes: true } }
      """)
    #expect(try Array(net.firstTop().prefix(8)) == [0.25, 0.25, 0.75, 0.75, 0.25, 0.75, 0.75, 1.25])
  }
}
