import CaffeSchema
import Layers
import Nets
import Tasks
import Testing

@Suite struct NetDrawingTests {
  private func graph(_ text: String) throws -> Graph {
    let source = try NetSource(text: text, file: "net.prototxt")
    return try Graph(
      layers: source.layers(in: NetState()), phase: .train, paths: PathSearch(), catalogue: LayerCatalogue(layerTypes),
      options: GraphOptions())
  }

  private static let net = """
    layer { name: "in" type: "Input" top: "data" top: "a" top: "b"
      input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } shape { dim: 2 } shape { dim: 2 } } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
      convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 } }
    layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
    layer { name: "ip_a" type: "InnerProduct" bottom: "conv" top: "ip_a" inner_product_param { num_output: 5 } }
    layer { name: "ip_b" type: "InnerProduct" bottom: "conv" top: "ip_b" inner_product_param { num_output: 6 } }
    layer { name: "loss_a" type: "SoftmaxWithLoss" bottom: "ip_a" bottom: "a" top: "loss_a" }
    layer { name: "loss \\"b\\"" type: "SoftmaxWithLoss" bottom: "ip_b" bottom: "b" top: "loss_b" loss_weight: 0.5 }
    """

  @Test func drawsBoxesEdgesAndTasks() throws {
    let dot = NetDrawing(try graph(Self.net), title: "net", direction: .right).dot
    #expect(dot.contains("rankdir=LR"))
    // What works in place is in one box with what it works on.
    #expect(dot.contains(#"label="conv\nConvolution  3x3 /2 pad 1, 4\nrelu\nReLU""#))
    #expect(dot.contains(#"[label=" conv\n 2x4x4x4"]"#))
    #expect(dot.contains(#"loss \"b\""#))
    #expect(dot.contains(#"weight 0.5"#))
    let fills = dot.split(separator: "\n").filter { $0.contains("InnerProduct") }.map { line in
      String(line.split(separator: "fillcolor=\"")[1].prefix(7))
    }
    #expect(Set(fills).count == 2)
    let shared = dot.split(separator: "\n").first { $0.contains("Convolution") }
    #expect(shared.map { line in fills.allSatisfy { !line.contains($0) } } == true)
  }

  @Test func hasNoLegendForOneTask() throws {
    let dot = NetDrawing(
      try graph(Self.net.split(separator: "\n").dropLast().joined(separator: "\n")), title: "one"
    ).dot
    #expect(!dot.contains("tasks ["))
    #expect(!dot.contains("relu ->"))
  }
}
