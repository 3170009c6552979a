import CaffeSchema
import ComputeReference
import Layers
import Nets
import Testing

/// A net of which losses are out does nothing for them, and all else as before.
@Suite struct IdleLossTests {
  private static let text = """
    layer { name: "x" type: "DummyData" top: "x" top: "labels" dummy_data_param {
      shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } data_filler { type: "gaussian" std: 1 } data_filler { value: 1 } } }
    layer { name: "cut" type: "Slice" bottom: "labels" top: "la" top: "lb" slice_param { axis: 1 } }
    layer { name: "shared" type: "InnerProduct" bottom: "x" top: "shared" inner_product_param { num_output: 5
      weight_filler { type: "xavier" } } }
    layer { name: "relu" type: "ReLU" bottom: "shared" top: "shared" }
    layer { name: "score_a" type: "InnerProduct" bottom: "shared" top: "score_a" inner_product_param { num_output: 3
      weight_filler { type: "xavier" } } }
    layer { name: "hidden_b" type: "InnerProduct" bottom: "shared" top: "hidden_b" inner_product_param { num_output: 4
      weight_filler { type: "xavier" } } }
    layer { name: "norm_b" type: "BatchNorm" bottom: "hidden_b" top: "hidden_b" }
    layer { name: "score_b" type: "InnerProduct" bottom: "hidden_b" top: "score_b" inner_product_param { num_output: 3
      weight_filler { type: "xavier" } } }
    layer { name: "loss_a" type: "SoftmaxWithLoss" bottom: "score_a" bottom: "la" top: "loss_a" loss_weight: 0.5 }
    layer { name: "loss_b" type: "SoftmaxWithLoss" bottom: "score_b" bottom: "lb" top: "loss_b" top: "p" }
    layer { name: "right_b" type: "Accuracy" bottom: "score_b" bottom: "lb" top: "right_b" }
    """

  private func makeNet(idle: Set<String> = [], sharing: Net? = nil, text: String = Self.text) throws -> Net {
    var options = NetOptions(phase: .train)
    options.seed = 5
    options.graph.idle = idle
    options.sharing = sharing
    return try Net(
      NetSource(text: text, file: "net.prototxt"), engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes),
      options: options)
  }

  private func gradients(_ net: Net) throws -> [String: [Float]] {
    net.clearGradients()
    try net.forward()
    try net.backward()
    return Dictionary(
      net.parameterTable.unique.map {
        (
          "\($0.layerName) \($0.name)",
          Array(UnsafeBufferPointer(start: $0.parameter.settledGradients(), count: $0.parameter.count))
        )
      }, uniquingKeysWith: { first, _ in first })
  }

  @Test func nothingIsDoneForThem() throws {
    let whole = try makeNet()
    let rest = try makeNet(idle: ["loss_b", "right_b"])
    let idle = ["hidden_b", "norm_b", "score_b", "loss_b", "right_b"]
    #expect(rest.graph.nodes.filter(\.isIdle).map(\.fields.name) == idle)
    #expect(rest.graph.nodes.map(\.fields.name) == whole.graph.nodes.map(\.fields.name))
    let steps = rest.forwardSteps + rest.backwardSteps
    #expect(!steps.contains { idle.contains($0.name) })
    #expect(rest.outputs.map(\.name) == ["loss_a"])
    #expect(rest.losses.map(\.term.name) == ["loss_a"])
    #expect(rest.blob("score_b") == nil)
    // The labels that nobody reads any more are no outputs.
    #expect(whole.outputs.map(\.name) == ["loss_a", "loss_b", "p", "right_b"])
  }

  /// The gradient is that of the net which never had these layers.
  @Test func theOthersLearnAsWithoutThem() throws {
    let kept =
      Self.text.split(separator: "\nlayer").filter { !$0.contains("_b\"") }.joined(separator: "\nlayer")
      + #"layer { name: "quiet" type: "Silence" bottom: "lb" }"#
    let without = try gradients(makeNet(text: kept))
    let rest = try gradients(makeNet(idle: ["loss_b", "right_b"]))
    #expect(without.count == 4)
    for (name, gradient) in without { #expect(rest[name] == gradient) }
    #expect(rest["score_b weights"]?.allSatisfy { $0 == 0 } == true)
  }

  @Test func theParametersStayInTheTable() throws {
    let whole = try makeNet()
    let rest = try makeNet(idle: ["loss_b", "right_b"], sharing: whole)
    for (a, b) in zip(whole.parameterTable.unique, rest.parameterTable.unique) { #expect(a.parameter === b.parameter) }
    #expect(whole.parameterTable.unique.count == rest.parameterTable.unique.count)
    let idle = rest.parameterTable.unique.filter(\.isIdle).map(\.layerName)
    #expect(Set(idle) == ["hidden_b", "norm_b", "score_b"])
    #expect(rest.snapshot().layer.map(\.blobs) == whole.snapshot().layer.map(\.blobs))
  }

  /// A parameter that another task uses too goes on learning.
  @Test func sharedParametersAreNotIdle() throws {
    let text = Self.text.replacing(
      #"bottom: "shared" top: "hidden_b" inner_product_param { num_output: 4"#,
      with: #"bottom: "shared" top: "hidden_b" param { name: "w" } inner_product_param { num_output: 3"#
    ).replacing(
      #"top: "score_a" inner_product_param"#, with: #"top: "score_a" param { name: "w" } inner_product_param"#)
    let rest = try makeNet(idle: ["loss_b", "right_b"], text: text)
    let entry = try #require(rest.parameterTable.unique.first { $0.layerName == "score_a" && $0.name == "weights" })
    #expect(!entry.isIdle)
    let loss = try makeNet(idle: ["loss_a"], text: text)
    #expect(loss.parameterTable.unique.first { $0.layerName == "score_a" && $0.name == "weights" }?.isIdle == false)
    #expect(loss.parameterTable.unique.first { $0.layerName == "score_a" && $0.name == "bias" }?.isIdle == true)
  }
}
