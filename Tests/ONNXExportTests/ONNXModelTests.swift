import CaffeSchema
import ComputeReference
import Diagnostics
import Foundation
import Layers
import Nets
import ONNXMessages
import Tensors
import Testing

@testable import ONNXExport

/// A net in the TEST phase on its way to ONNX.
struct ExportedNet {
  let deployed: DeployedNet
  let net: Net
  let model: ONNXModel

  /// - Parameter outputs: blobs; nil for the predictions.
  init(_ prototxt: String, outputs: [String]? = nil) throws {
    let source = try NetSource(text: prototxt, file: "net.prototxt")
    var state = NetState()
    state.phase = .test
    let catalogue = LayerCatalogue(layerTypes)
    let graph = try Graph(
      layers: source.layers(in: state), phase: .test, paths: PathSearch(), catalogue: catalogue,
      options: GraphOptions())
    deployed = try DeployedNet(graph, name: "net", file: "net.prototxt", outputs: outputs)
    var options = NetOptions(phase: .test)
    options.keepsEverything = true
    net = try Net(deployed.source, engine: ReferenceEngine(), catalogue: catalogue, options: options)
    model = try ONNXModel(net, outputs: deployed.outputs)
  }

  /// One layer behind an input `x`.
  static func layer(_ shape: [Int], _ layer: String) throws -> ExportedNet {
    try ExportedNet(
      """
      layer { name: "x" type: "Input" top: "x" input_param { shape { \(shape.map { "dim: \($0)" }.joined(separator: " ")) } } }
      layer { name: "f" bottom: "x" top: "y" \(layer) }
      """)
  }

  var graph: Onnx_GraphProto { model.message.graph }

  /// The nodes, such as `Conv(x, f/weights) group=1 -> y`; integer constants with their values.
  var lines: [String] {
    let integers = Dictionary(
      graph.initializer.filter { $0.dataType == 7 }.map { tensor in
        (tensor.name, tensor.rawData.withUnsafeBytes { Array($0.bindMemory(to: Int64.self)) })
      }, uniquingKeysWith: { first, _ in first })
    return graph.node.map { node in
      let inputs = node.input.map { name in integers[name].map { "\($0)" } ?? name }
      let attributes = node.attribute.map { attribute in
        switch attribute.type {
        case .int: "\(attribute.name)=\(attribute.i)"
        case .ints: "\(attribute.name)=\(attribute.ints)"
        case .float: "\(attribute.name)=\(attribute.f)"
        case .string: "\(attribute.name)=\(String(decoding: attribute.s, as: UTF8.self))"
        default: "\(attribute.name)=?"
        }
      }
      return ["\(node.opType)(\(inputs.joined(separator: ", ")))"].joined()
        + attributes.map { " " + $0 }.joined() + " -> " + node.output.joined(separator: ", ")
    }
  }

  func constant(_ name: String) -> [Float]? {
    graph.initializer.first { $0.name == name }.map { tensor in
      tensor.rawData.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }
  }
}

@Suite struct ONNXModelTests {
  private static let twoTasks = """
    name: "two"
    layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
      shape { dim: 4 dim: 1 dim: 6 dim: 6 } shape { dim: 4 dim: 2 } } }
    layer { name: "cut" type: "Slice" bottom: "label" top: "label_a" top: "label_b" slice_param { slice_point: 1 } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 3 kernel_size: 3 } }
    layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
    layer { name: "a" type: "InnerProduct" bottom: "conv" top: "a" inner_product_param { num_output: 2 } }
    layer { name: "b" type: "InnerProduct" bottom: "conv" top: "b" inner_product_param { num_output: 1 } }
    layer { name: "loss_a" type: "SoftmaxWithLoss" bottom: "a" bottom: "label_a" top: "loss_a" }
    layer { name: "right_a" type: "Accuracy" bottom: "a" bottom: "label_a" top: "right_a" }
    layer { name: "loss_b" type: "EuclideanLoss" bottom: "b" bottom: "label_b" top: "loss_b" }
    """

  @Test func dataBecomeInputsAndLossesAreLeftOut() throws {
    let exported = try ExportedNet(Self.twoTasks)
    #expect(exported.model.inputs == [.init(name: "data", shape: [4, 1, 6, 6])])
    #expect(exported.model.outputs == [.init(name: "a", shape: [4, 2]), .init(name: "b", shape: [4, 1])])
    #expect(
      exported.lines == [
        "Conv(data, conv/weights, conv/bias) dilations=[1, 1] group=1 kernel_shape=[3, 3] pads=[0, 0, 0, 0] "
          + "strides=[1, 1] -> conv@conv",
        "Relu(conv@conv) -> conv",
        "Flatten(conv) axis=1 -> a:Flatten", "Gemm(a:Flatten, a/weights, a/bias) transB=1 -> a",
        "Flatten(conv) axis=1 -> b:Flatten", "Gemm(b:Flatten, b/weights, b/bias) transB=1 -> b",
      ])
  }

  @Test func theFileSaysWhatItIs() throws {
    let exported = try ExportedNet(Self.twoTasks)
    let model = try Onnx_ModelProto(serializedBytes: exported.model.bytes(for: "net.onnx"))
    #expect(model.irVersion == 7 && model.opsetImport.map(\.version) == [13] && model.producerName == "mtl")
    #expect(model.opsetImport[0].hasDomain, "readers want the empty domain to be there")
    let input = model.graph.input[0].type.tensorType
    #expect(input.elemType == 1)
    #expect(input.shape.dim.map(\.dimParam) == ["batch", "", "", ""])
    #expect(input.shape.dim.map(\.dimValue) == [0, 1, 6, 6])
    let weights = try #require(model.graph.initializer.first { $0.name == "conv/weights" })
    #expect(weights.dims == [3, 1, 3, 3] && weights.dataType == 1 && weights.rawData.count == 27 * 4)
  }

  @Test func parametersHaveTheNetsValues() throws {
    let exported = try ExportedNet.layer(
      [1, 2], #"type: "InnerProduct" inner_product_param { num_output: 1 weight_filler { value: 3 } bias_term: false }"#
    )
    #expect(exported.constant("f/weights") == [3, 3])
    #expect(exported.lines == ["Gemm(x, f/weights) transB=1 -> y"])
  }

  @Test func sharedParametersAreThereOnce() throws {
    let exported = try ExportedNet(
      """
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
      layer { name: "p" type: "InnerProduct" bottom: "x" top: "y" param { name: "w" } param { name: "b" }
        inner_product_param { num_output: 3 } }
      layer { name: "q" type: "InnerProduct" bottom: "y" top: "z" param { name: "w" } param { name: "b" }
        inner_product_param { num_output: 3 } }
      """)
    #expect(exported.graph.initializer.map(\.name) == ["p/weights", "p/bias"])
    #expect(exported.lines.last == "Gemm(y, p/weights, p/bias) transB=1 -> z")
  }

  @Test func namedBlobsAreTheOutputs() throws {
    let exported = try ExportedNet(Self.twoTasks, outputs: ["conv"])
    #expect(exported.model.outputs == [.init(name: "conv", shape: [4, 3, 4, 4])])
    #expect(exported.graph.node.map(\.opType) == ["Conv", "Relu"])
    let fault = #expect(throws: Diagnostic.self) { try ExportedNet(Self.twoTasks, outputs: ["cnv"]) }
    #expect(fault?.message == "the net has no blob 'cnv'; did you mean 'conv'?")
  }

  @Test func anInputKeepsItsNameWhenItIsChangedInPlace() throws {
    let exported = try ExportedNet(
      """
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
      layer { name: "half" type: "Power" bottom: "x" top: "x" power_param { scale: 0.5 } }
      """)
    #expect(exported.model.inputs.map(\.name) == ["x"])
    #expect(exported.model.outputs.map(\.name) == ["x@half"])
    #expect(exported.lines.last == "Identity(half:Mul) -> x@half")
  }

  @Test func whatONNXCannotSayIsRefusedByName() throws {
    let fault = #expect(throws: Diagnostic.self) {
      try ExportedNet(
        """
        layer { name: "x" type: "Input" top: "x" top: "cont" input_param { shape { dim: 2 dim: 3 dim: 4 } shape { dim: 2
          dim: 3 } } }
        layer { name: "memory" type: "LSTM" bottom: "x" bottom: "cont" top: "y" recurrent_param { num_output: 2 } }
        """)
    }
    #expect(
      fault?.description.contains(
        "layer 'memory' (LSTM): cannot be exported to ONNX: there is no operator for LSTM") == true, "\(fault as Any)")
  }

  @Test func batchStatisticsAreRefused() throws {
    let fault = #expect(throws: Diagnostic.self) {
      try ExportedNet.layer([2, 3], #"type: "BatchNorm" batch_norm_param { use_global_stats: false }"#)
    }
    #expect(fault?.message == "cannot be exported to ONNX: it takes the statistics of the batch")
  }

  @Test func aLayerThatMixesRecordsFixesTheBatch() throws {
    let mixed = try ExportedNet.layer([2, 3], #"type: "Reverse""#)
    #expect(mixed.model.layerThatFixesBatch?.name == "f")
    #expect(mixed.graph.input[0].type.tensorType.shape.dim[0].dimValue == 2)
    let free = try ExportedNet.layer([2, 3], #"type: "Reverse" reverse_param { axis: 1 }"#)
    #expect(free.model.layerThatFixesBatch == nil)
  }

  @Test func normalisationTakesTheSumsApart() throws {
    let exported = try ExportedNet.layer([1, 2, 1, 1], #"type: "BatchNorm""#)
    // Sums without weight, as before any training: mean and variance 0.
    #expect(exported.graph.node.map(\.opType) == ["BatchNormalization"])
    #expect(exported.constant("f:numbers_3") == [0, 0])
  }
}

/// How Caffe's windows, which may be cut at the end, become ONNX's, which may not.
@Suite struct ONNXPoolingTests {
  private func line(_ shape: [Int], _ param: String) throws -> [String] {
    try ExportedNet.layer(shape, #"type: "Pooling" pooling_param { \#(param) }"#).lines
  }

  @Test(arguments: [
    ("pool: MAX kernel_size: 2 stride: 2", 6, "[0, 0, 0, 0]"),
    // Three windows of 3 over 6 values: the last one is cut.
    ("pool: MAX kernel_size: 3 stride: 2", 6, "[0, 0, 1, 1]"),
    ("pool: MAX kernel_size: 3 stride: 2 round_mode: FLOOR", 6, "[0, 0, 0, 0]"),
    ("pool: MAX kernel_size: 3 stride: 2 pad: 1", 7, "[1, 1, 1, 1]"),
    // A window that would start in the far padding is left out.
    ("pool: MAX kernel_size: 2 stride: 2 pad: 1", 5, "[1, 1, 0, 0]"),
  ])
  func maximaLookAtRealValues(_ param: String, side: Int, pads: String) throws {
    #expect(try line([1, 1, side, side], param)[0].contains(" pads=\(pads) "))
  }

  @Test func averagesCountPaddingButNothingBeyond() throws {
    #expect(
      try line([1, 1, 7, 7], "pool: AVE kernel_size: 3 stride: 2 pad: 1") == [
        "AveragePool(x) count_include_pad=1 kernel_shape=[3, 3] pads=[1, 1, 1, 1] strides=[2, 2] -> y"
      ])
    #expect(
      try line([1, 1, 6, 6], "pool: AVE kernel_size: 3 stride: 2") == [
        "AveragePool(x) count_include_pad=0 kernel_shape=[3, 3] pads=[0, 0, 1, 1] strides=[2, 2] -> y"
      ])
    #expect(
      try line([1, 1, 6, 6], "pool: AVE kernel_size: 4 stride: 3 pad: 1") == [
        "Pad(x, [0, 0, 1, 1, 0, 0, 1, 1]) -> f:Pad",
        "AveragePool(f:Pad) count_include_pad=0 kernel_shape=[4, 4] pads=[0, 0, 2, 2] strides=[3, 3] -> y",
      ])
  }

  @Test func wholePlanesAndOtherKinds() throws {
    #expect(try line([1, 2, 4, 5], "pool: AVE global_pooling: true") == ["GlobalAveragePool(x) -> y"])
    #expect(throws: Diagnostic.self) { try line([1, 1, 4, 4], "pool: STOCHASTIC kernel_size: 2") }
    // The second window of each axis lies outside.
    #expect(throws: Diagnostic.self) { try line([1, 1, 6, 6], "pool: MAX kernel_size: 2 stride: 3") }
  }
}
