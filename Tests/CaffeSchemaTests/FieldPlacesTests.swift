import CaffeSchema
import Testing

@Suite struct FieldPlacesTests {
  private let text = """
    name: "n"
    layer {
      name: "c"
      bottom: "x"  bottom: "y"
      convolution_param < num_output: 8; pad: [1, 2], kernel_size: 3 kernel_size: 5
        weight_filler: { type: 'xavier' } >
    }
    layer { type: "ReLU" }\r
    layer: { name: "z" }
    """

  @Test(arguments: [
    ("name", 1, 1), ("layer[0]", 2, 1), ("layer[0].name", 3, 3), ("layer[0].bottom[0]", 4, 3),
    ("layer[0].bottom[1]", 4, 16), ("layer[0].convolution_param", 5, 3),
    ("layer[0].convolution_param.num_output", 5, 23), ("layer[0].convolution_param.pad[1]", 5, 38),
    ("layer[0].convolution_param.kernel_size[0]", 5, 51), ("layer[0].convolution_param.kernel_size[1]", 5, 66),
    ("layer[0].convolution_param.weight_filler.type", 6, 22), ("layer[1].type", 8, 9), ("layer[2].name", 9, 10),
  ])
  func findsEveryField(_ path: String, _ line: Int, _ column: Int) throws {
    let places = try parseText(text, as: NetParameter.self, file: "n").places
    #expect(places.location(path)?.description == "n:\(line):\(column)")
  }

  @Test func takesARepeatedFieldWithoutIndexAsItsFirst() throws {
    let places = try parseText(text, as: NetParameter.self, file: "n").places
    #expect(places.location("layer[0].convolution_param.kernel_size")?.description == "n:5:51")
  }

  @Test(arguments: [
    ("layer[0].convolution_param.stride", "n:5:3"), ("layer[0].pooling_param.pool", "n:2:1"),
    ("layer[0].convolution_param.pad[7]", "n:5:3"), ("state.phase", "n"), ("", "n"),
  ])
  func fallsBackToWhatIsAroundAnAbsentField(_ path: String, _ place: String) throws {
    let places = try parseText(text, as: NetParameter.self, file: "n").places
    #expect(places.location(path)?.description == place)
  }

  @Test func scopes() throws {
    let places = try parseText(text, as: NetParameter.self, file: "n").places
    let convolution = places.scoped(to: "layer[0]").scoped(to: "convolution_param")
    #expect(convolution.location("num_output")?.description == "n:5:23")
    #expect(convolution.location("")?.description == "n:5:3")
    #expect(places.scoped(to: "layer[1]").scoped(to: "relu_param").location("negative_slope")?.description == "n:8:1")
  }

  @Test func knowsAFileOrNothingWithoutAText() {
    #expect(FieldPlaces(file: "w.caffemodel").scoped(to: "layer[3]").location("name")?.description == "w.caffemodel")
    #expect(FieldPlaces(file: nil).location("name") == nil)
  }

  @Test func listsTheFirstValuesOfALongList() throws {
    let values = (0..<1000).map { "\($0)" }.joined(separator: ",")
    let blob = try parseText("data: [\(values)]", as: BlobProto.self, file: "b")
    #expect(blob.message.data.count == 1000)
    #expect(blob.places.location("data[999]")?.description == "b")
  }

  /// Fields of what was merged in are where it gives them; its repeated ones come behind those that there were.
  @Test(arguments: [
    ("base_lr", "o:2:3"), ("type", "s:1:1"), ("multi_task.weighting", "o:3:16"), ("multi_task.task[0].name", "s:3:21"),
    ("multi_task.task[1].name", "o:3:38"), ("multi_task.task[2].name", "p:1:21"),
    ("multi_task.task[2].schedule[0]", "p:1:14"),
    ("multi_task.task[3].name", "p:1:1"), ("test_iter[0]", "s:2:1"), ("test_iter[1]", "o:4:3"), ("momentum", "p:1:43"),
    ("max_iter", "s"), ("", "s"),
  ])
  func findsFieldsOfMergedMessages(_ path: String, _ place: String) throws {
    let solver = try parseText(
      "type: \"SGD\" base_lr: 1\ntest_iter: 3\nmulti_task { task { name: \"a\" } }", as: SolverParameter.self, file: "s"
    )
    let first = try parseText(
      "solver {\n  base_lr: 2\n  multi_task { weighting: DWA task { name: \"b\" } }\n  test_iter: 4\n}",
      as: ExperimentVariant.self, file: "o")
    let second = try parseText(
      "multi_task { task { name: \"c\" } }         momentum: 1", as: SolverParameter.self, file: "p")
    let places = solver.places.overlaid(by: first.places.scoped(to: "solver")).overlaid(by: second.places)
    #expect(places.location(path)?.description == place)
    if path.hasPrefix("multi_task.") {
      #expect(places.scoped(to: "multi_task").location(String(path.dropFirst(11)))?.description == place)
    }
  }
}
