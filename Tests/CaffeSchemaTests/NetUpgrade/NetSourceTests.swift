import CaffeSchema
import Foundation
import Testing

@Suite struct NetSourceTests {
  @Test func leavesANetInTodaysFormAsItIs() throws {
    let text = "name: \"n\"\nforce_backward: true\nlayer { name: \"a\" }\nlayer { name: \"b\" }\n"
    let source = try NetSource(text: text, file: "n")
    #expect(source.parameter == (try parseText(text, as: NetParameter.self, file: "n").message))
    #expect(source.layerPlaces.map { $0.location("name")?.description } == ["n:3:9", "n:4:9"])
    #expect(source.places.location("force_backward")?.description == "n:2:1")
    #expect(source.warnings.isEmpty)
  }

  @Test(arguments: [
    "input: \"a\"\ninput: \"b\"\ninput_dim: [1, 3, 4, 5]\ninput_dim: [2, 3, 6, 7]\nlayer { name: \"c\" }",
    "input: \"a\"\ninput: \"b\"\ninput_shape { dim: [1, 3, 4, 5] }\ninput_shape { dim: [2, 3, 6, 7] }\nlayer { name: \"c\" }",
  ])
  func makesALayerOfInputs(_ text: String) throws {
    let source = try NetSource(text: text, file: "n")
    let net = source.parameter
    #expect(net.input.isEmpty && net.inputDim.isEmpty && net.inputShape.isEmpty)
    #expect(net.layer.map(\.name) == ["input", "c"])
    #expect(net.layer[0].type == "Input")
    #expect(net.layer[0].top == ["a", "b"])
    #expect(net.layer[0].inputParam.shape.map(\.dim) == [[1, 3, 4, 5], [2, 3, 6, 7]])
    let places = source.layerPlaces[0]
    #expect(places.location("")?.description == "n:1:1")
    #expect(places.location("top[1]")?.description == "n:2:1")
    #expect(places.location("input_param.shape[0]")?.description == "n:3:1")
    #expect(source.layerPlaces[1].location("name")?.description == "n:5:9")
  }

  @Test func givesThePlaceOfEachInputDim() throws {
    let text = "input: \"a\"\ninput_dim: 1\ninput_dim: 3\ninput_dim: 4\ninput_dim: 0\n"
    let places = try NetSource(text: text, file: "n").layerPlaces[0]
    #expect(places.location("input_param.shape[0].dim[3]")?.description == "n:5:1")
  }

  @Test func refusesSizesThatDoNotMatchTheInputs() {
    #expect(
      messages { _ = try NetSource(text: "input: \"a\"\ninput_dim: [1, 3, 4]", file: "n") }
        == "n:2:1: error: 1 input, but 3 input_dim: give four for each (N, C, H, W), or input_shape")
    #expect(
      messages { _ = try NetSource(text: "input: [\"a\", \"b\"] input_shape { dim: 1 }", file: "n") }
        == "n:1:19: error: 2 input, but 1 input_shape: give one for each")
  }

  @Test func leavesOutInputsWithoutSize() throws {
    let source = try NetSource(text: "input: \"a\" layer { name: \"c\" }", file: "n")
    #expect(source.parameter.layer.map(\.name) == ["c"])
    #expect(
      source.warnings.map(\.description)
        == ["n:1:1: warning: input 'a' has no input_shape or input_dim, and is left out"])
    #expect(try NetSource(text: "input: \"a\" layer { top: \"a\" }", file: "n").warnings.isEmpty)
  }

  @Test func freezesBatchNormOfOlderFiles() throws {
    let text = """
      layer { type: "BatchNorm" param { lr_mult: 1 } param { decay_mult: 2 } param { name: "s" } }
      layer { type: "BatchNorm" param { lr_mult: 1 } }
      """
    let net = try NetSource(text: text, file: "n").parameter
    #expect(net.layer[0].param.map(\.lrMult) == [0, 0, 0])
    #expect(net.layer[0].param.map(\.decayMult) == [0, 0, 0])
    #expect(net.layer[0].param[2].name == "s")
    #expect(net.layer[1].param.map(\.lrMult) == [1])
  }

  @Test func warnsOfTransformationsThatALayerDoesNotRead() throws {
    let source = try NetSource(
      text: "layer { name: \"d\" type: \"Data\" data_param { crop_size: 3 source: \"s\" } }", file: "n")
    #expect(source.parameter.layer[0].dataParam.cropSize == 3)
    #expect(
      source.warnings.map(\.description) == [
        "n:1:45: warning: layer 'd' (Data): 'crop_size' has no effect in 'data_param'; write it in 'transform_param'"
      ])
  }

  @Test func readsFiles() throws {
    try withFolder { folder in
      try writeFile("layer { name: \"a\" }", to: folder + "/net")
      let source = try NetSource.read(path: folder + "/net")
      #expect(source.file == folder + "/net")
      #expect(source.parameter.layer[0].name == "a")
    }
  }

  /// What a fork adds is blanked out, so that all else keeps its place.
  @Test func leavesOutFieldsOfForksWhenAskedTo() throws {
    let path = NSTemporaryDirectory() + "net-source-\(UUID().uuidString).prototxt"
    let text = """
      name: "é"
      layer { name: "a" odd_param { # a comment
          deep { value: -1.5 } list: [1, 2] }  top: "a" }
      layers { name: "b" type: ODD_DATA odd: "x"  top: "b" }
      """
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let source = try NetSource.read(path: path, leavesOutForeign: true)
    #expect(source.parameter.layer.map(\.type) == ["", "OddData"])
    #expect(source.parameter.layer.map(\.top) == [["a"], ["b"]])
    #expect(source.layerPlaces[0].location("top[0]")?.column == 42)
    #expect(source.warnings.map(\.location?.line) == [2, 4])
    #expect(throws: (any Error).self) { try NetSource.read(path: path) }
  }

  /// A fork's images with several labels; the transformation moves to where it is read, and faults find its place.
  @Test func multiLabelImages() throws {
    let source = try NetSource(
      text: """
        layer { name: "a" type: "MultiLabelImageData" top: "data" top: "label"
          multi_label_image_data_param { source: "x.txt" batch_size: 16 new_height: 8 new_width: 9 crop_size: 6
            mirror: true } }
        layer { name: "b" type: "MultiLabelImageData" top: "data" top: "label" image_data_param { source: "y.txt" } }
        """, file: "n")
    let layers = source.parameter.layer
    #expect(layers.map(\.type) == ["ImageData", "ImageData"])
    #expect(!layers[0].hasMultiLabelImageDataParam)
    let param = layers[0].imageDataParam
    #expect(param.source == "x.txt" && param.batchSize == 16 && param.newHeight == 8 && param.newWidth == 9)
    #expect(param.labelNum == 28 && !layers[1].imageDataParam.hasLabelNum)
    #expect(layers[0].transformParam.cropSize == 6 && layers[0].transformParam.mirror)
    #expect(source.layerPlaces[0].location("image_data_param.batch_size")?.line == 2)
    #expect(source.layerPlaces[0].location("transform_param.mirror")?.line == 3)
    #expect(source.warnings.isEmpty, "\(source.warnings)")
  }
}
