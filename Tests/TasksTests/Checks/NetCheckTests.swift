import CaffeSchema
import Diagnostics
import Layers
import Nets
import Tasks
import Tensors
import Testing

@Suite struct NetCheckTests {
  static let catalogue = LayerCatalogue(layerTypes, shapeOnly: shapeOnlyTypes)

  static func check(
    _ text: String, _ phase: Phase = .train, given: [String: Shape] = [:], labels: LabelLookup = .none
  ) throws -> NetCheck {
    var state = NetState()
    state.phase = phase
    return try NetCheck(
      NetSource(text: text, file: "net.prototxt"), state: state, catalogue: catalogue, given: given, labels: labels)
  }

  static let data = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } } }
    layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 4 } } }
    layer { name: "bits" type: "Input" top: "bits" input_param { shape { dim: 4 dim: 10 } } }
    """

  static let head =
    #"layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 10 } }"#

  @Test func countsParametersAndWork() throws {
    let check = try Self.check(
      Self.data + """
        layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { name: "w" } param { lr_mult: 0 }
          convolution_param { num_output: 6 kernel_size: 3 } }
        layer { name: "again" type: "Convolution" bottom: "data" top: "again" param { name: "w" }
          convolution_param { num_output: 6 kernel_size: 3 bias_term: false } }
        layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 5 } }
        layer { name: "quiet" type: "Silence" bottom: "ip" bottom: "again" bottom: "label" bottom: "bits" }
        """)
    #expect(check.faults.isEmpty)
    let rows = Dictionary(uniqueKeysWithValues: check.layers.map { ($0.name, $0) })
    #expect(rows["conv"]?.parameterCount == 6 * 27 + 6)
    #expect(rows["conv"]?.learnedCount == 6 * 27)
    #expect(rows["again"]?.parameterCount == 0)
    #expect(rows["conv"]?.multiplyAdds == 4 * 36 * 6 * 27)
    #expect(rows["ip"]?.multiplyAdds == 4 * 216 * 5)
    #expect(check.parameterCount == 6 * 27 + 6 + 216 * 5 + 5)
    #expect(check.batch == 4)
  }

  @Test func countsTheWorkOfRecurrentLayers() throws {
    let check = try Self.check(
      """
      layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 3 dim: 2 dim: 5 } } }
      layer { name: "m" type: "Input" top: "m" input_param { shape { dim: 3 dim: 2 } } }
      layer { name: "l" type: "LSTM" bottom: "x" bottom: "m" top: "y" recurrent_param { num_output: 4 } }
      """, .test)
    #expect(check.multiplyAdds == 3 * 2 * (16 * 5 + 16 * 4))
  }

  @Test func tellsTasksWithTheirNormalization() throws {
    let check = try Self.check(
      Self.data + Self.head + """
        layer { name: "a" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss_a" loss_weight: 0.5 }
        layer { name: "b" type: "SigmoidCrossEntropyLoss" bottom: "ip" bottom: "bits" top: "loss_b" loss_weight: 0.5 }
        layer { name: "m" type: "Accuracy" bottom: "ip" bottom: "label" top: "right" }
        """)
    #expect(check.tasks.map(\.name) == ["a", "b"])
    #expect(check.tasks.map(\.normalization) == [.valid, .batchSize])
    #expect(check.tasks[0].metrics == ["right"])
    #expect(check.tasks[1].scores == [4, 10])
  }

  @Test func goesAsFarAsTheNetDoes() throws {
    let check = try Self.check(
      Self.data + Self.head + #"layer { name: "x" type: "ReLU" bottom: "nothing" top: "x" }"#)
    #expect(check.layers.map(\.name) == ["data", "label", "bits", "ip"])
    #expect(check.faults.map(\.code) == [.missingBottom])
  }

  @Test func findsSharedParametersThatDoNotFit() throws {
    let check = try Self.check(
      Self.data + """
        layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" }
          inner_product_param { num_output: 5 } }
        layer { name: "b" type: "InnerProduct" bottom: "bits" top: "b" param { name: "w" }
          inner_product_param { num_output: 5 } }
        """)
    #expect(check.faults.map(\.code) == [.badSharing])
    #expect(check.faults[0].location?.line == 5)
  }

  // MARK: Shapes that the net does not tell

  @Test func guessesWhatReadersNeed() throws {
    let check = try Self.check(
      """
      layer { name: "d" type: "Python" top: "data" top: "label" top: "points"
        python_param { module: "faces" layer: "Faces" } }
      layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3 } }
      layer { name: "ip" type: "InnerProduct" bottom: "c" top: "ip" inner_product_param { num_output: 10 } }
      layer { name: "cut" type: "Slice" bottom: "points" top: "left" top: "right" slice_param { slice_point: 10 } }
      layer { name: "a" type: "EuclideanLoss" bottom: "ip" bottom: "left" top: "a" }
      layer { name: "e" type: "EuclideanLoss" bottom: "ip" bottom: "right" top: "e" }
      layer { name: "s" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "s" }
      """)
    #expect(check.faults.isEmpty, "\(check.faults)")
    #expect(check.assumptions.count == 1)
    let tops = check.assumptions[0].tops
    #expect(tops.map(\.name) == ["data", "label", "points"])
    #expect(tops[0].shape == [1, 3, 224, 224])
    #expect(tops[1].shape.count == 1)
    #expect(tops[2].shape == [1, 20])
  }

  @Test func takesGivenShapes() throws {
    let net = """
      layer { name: "in" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 dim: 4 dim: 4 } } }
      layer { name: "new" type: "NewLayer" bottom: "data" top: "new" }
      layer { name: "flat" type: "Flatten" bottom: "new" top: "flat" }
      """
    let guessed = try Self.check(net, .test)
    #expect(guessed.faults.isEmpty)
    #expect(guessed.assumptions.contains { $0.tops.map(\.name) == ["new"] })
    #expect(guessed.layers.flatMap(\.tops).map(\.shape) == [[1, 1, 4, 4], [1, 1, 4, 4], [1, 16]])
    #expect(guessed.warnings.contains { $0.code == .unknownLayerType })
    let check = try Self.check(net, .test, given: ["new": [1, 2, 3], "data": [7, 7]])
    #expect(check.faults.isEmpty)
    #expect(check.layers.flatMap(\.tops).map(\.shape) == [[7, 7], [1, 2, 3], [1, 6]])
    #expect(check.warnings.map(\.code) == [.unknownLayerType])
  }

  @Test(arguments: [
    (["dtaa": [1] as Shape], "no layer has a top 'dtaa'; did you mean 'data'?"),
    (["ip": [1] as Shape], "the shape of 'ip' follows from the bottoms of layer 'ip'"),
  ])
  func refusesShapesOfNobody(_ given: [String: Shape], _ message: String) {
    let fault = #expect(throws: Diagnostic.self) { try Self.check(Self.data + Self.head, given: given) }
    #expect(fault?.message == message)
  }
}
