import CaffeSchema
import ComputeReference
import Diagnostics
import Layers
import Nets
import Testing

/// What cannot be is refused with one sentence at its place.
@Suite struct RefusalTests {
  static let cases: [(net: String, place: String, message: String)] = [
    (
      #"""
      layer { name: "x" type: "Python" top: "y" python_param { module: "mine" layer: "MyLayer" } }
      """#,
      "1:43", "class 'MyLayer' of Python module 'mine' cannot run"
    ),
    (
      input + #"""
        layer { name: "f" type: "Filter" bottom: "x" bottom: "s" top: "y" }
        layer { name: "b" type: "BatchNorm" bottom: "y" top: "z" }
        """#, "3:37", "bottom 'y' has as many rows as each pass of layer 'f' (Filter) decides"
    ),
    (
      input + #"""
        layer { name: "f" type: "Filter" bottom: "x" bottom: "s" top: "y" }
        layer { name: "e" type: "Eltwise" bottom: "y" bottom: "x" top: "z" }
        """#, "3:35", "and bottom 'x' has other ones"
    ),
    (
      input + #"layer { name: "e" type: "Embed" bottom: "s" top: "y" embed_param { num_output: 2 } }"#, "2:54",
      "input_dim"
    ),
    (
      input + #"layer { name: "c" type: "Clip" bottom: "x" top: "y" clip_param { min: 1 max: 0 } }"#, "2:66",
      "min 1.0 is larger than max 0.0"
    ),
    (
      input + #"layer { name: "r" type: "Reshape" bottom: "x" top: "y" reshape_param { shape { dim: 7 dim: -1 } } }"#,
      "2:72", "cannot be divided"
    ),
    (
      input + #"layer { name: "c" type: "Crop" bottom: "x" bottom: "x" top: "y" crop_param { axis: 1 offset: 1 } }"#,
      "2:65", "reach beyond the first bottom"
    ),
    (
      input + #"layer { name: "p" type: "SPP" bottom: "x" top: "y" spp_param { pyramid_height: 4 } }"#, "2:64",
      "lower pyramid_height"
    ),
    (
      input + #"layer { name: "b" type: "Bias" bottom: "x" bottom: "s" top: "y" }"#, "2:1", "does not fit the bottom"
    ),
    (
      input + #"layer { name: "l" type: "LSTM" bottom: "x" top: "y" recurrent_param { num_output: 2 } }"#, "2:32",
      "takes 2 to 5 bottoms"
    ),
  ]

  private static let input = """
    layer { name: "x" type: "Input" top: "x" top: "s" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } shape { dim: 2 } } }

    """

  @Test(arguments: cases.indices)
  func message(_ index: Int) throws {
    let (text, place, message) = Self.cases[index]
    let source = try NetSource(text: text, file: "net.prototxt")
    let fault = #expect(throws: Diagnostic.self) {
      try Net(
        source, engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes), options: NetOptions(phase: .train))
    }
    #expect(fault?.message.contains(message) == true, "\(fault?.message ?? "")")
    #expect(fault?.location.map { "\($0.line):\($0.column)" } == place)
  }

  @Test func indexOutOfRange() throws {
    let example = LayerExample(
      "index", inputs: [.labels([3], classes: 2)],
      #"layer { name: "e" type: "Embed" bottom: "in0" top: "y" embed_param { num_output: 2 input_dim: 5 } }"#)
    let net = try SweepNet(example, engine: ReferenceEngine())
    net.fillInput(0) { $0 == 1 ? 5 : 4 }
    let fault = #expect(throws: Diagnostic.self) { try net.forward() }
    #expect(fault?.code == .badRecord)
    #expect(fault?.message.contains("value 1 of blob 'in0' is 5.0") == true)
  }
}
