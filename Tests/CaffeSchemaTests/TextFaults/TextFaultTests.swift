import CaffeSchema
import Diagnostics

import Testing

/// The whole text that a user sees for each slip. The file is called n.
@Suite struct TextFaultTests {
  struct Slip: Sendable, CustomTestStringConvertible {
    var name: String
    var text: String
    var shown: String
    var testDescription: String { name }
  }

  @Test(arguments: names + structure + values)
  func tellsNetSlips(_ slip: Slip) {
    #expect(messages { _ = try parseText(slip.text, as: NetParameter.self, file: "n") } == slip.shown)
  }

  @Test(arguments: solver)
  func tellsSolverSlips(_ slip: Slip) {
    #expect(messages { _ = try parseText(slip.text, as: SolverParameter.self, file: "n") } == slip.shown)
  }

  @Test func tellsAllFaultsOfAFileAtOnce() {
    let text = """
      layer {
        name: "a" type: "Convolution" botom: "x"
        convolution_param { num_output: many kernal_size: 3 stride: -1 }
      }
      """
    let shown = """
      n:2:33: error: layer 'a' (Convolution): unknown field 'botom' in LayerParameter; did you mean 'bottom'?
      n:3:35: error: layer 'a' (Convolution): 'num_output' takes a whole number, 0 or more, got many; in a template, fill in the placeholder first
      n:3:40: error: layer 'a' (Convolution): unknown field 'kernal_size' in ConvolutionParameter; did you mean \
      'kernel_size'?
      n:3:63: error: layer 'a' (Convolution): -1 is out of range for 'stride', which takes a whole number, 0 or more
      """
    #expect(messages { _ = try parseText(text, as: NetParameter.self, file: "n") } == shown)
  }

  @Test func stopsListingAtTwenty() throws {
    let text = (1...30).map { "layer { name: \"l\($0)\" tipe: \"ReLU\" }\n" }.joined()
    let error = #expect(throws: DiagnosticList.self) { _ = try parseText(text, as: NetParameter.self, file: "n") }
    #expect(error?.all.count == 20)
    #expect(error?.all.last?.notes.last?.message == "10 more faults follow")
  }

  @Test func givesCodesThatToolsCanTell() {
    func code(_ text: String) -> Diagnostic.Code? {
      do {
        _ = try parseText(text, as: NetParameter.self, file: "n")
        return nil
      } catch { return (error as? Diagnostic)?.code }
    }
    #expect(code("nam: \"x\"") == .unknownField)
    #expect(code("state { phase: TRIAN }") == .unknownValue)
    #expect(code("name: \"x") == .syntax)
    #expect(code("name: 3") == .badParameter)
  }

  static let names = [
    Slip(
      name: "field",
      text: "layer {\n  name: \"c\" type: \"Convolution\"\n  convolution_param {\n    kernal_size: 3\n  }\n}",
      shown: "n:4:5: error: layer 'c' (Convolution): unknown field 'kernal_size' in ConvolutionParameter; "
        + "did you mean 'kernel_size'?"),
    Slip(
      name: "block", text: "layer {\n  name: \"c\"\n  type: \"Convolution\"\n  convolution_parm { num_output: 1 }\n}",
      shown: "n:4:3: error: layer 'c' (Convolution): unknown field 'convolution_parm' in LayerParameter; "
        + "did you mean 'convolution_param'?"),
    Slip(
      name: "at the top", text: "nmae: \"x\"",
      shown: "n:1:1: error: unknown field 'nmae' in NetParameter; did you mean 'name'?"),
    Slip(name: "unlike any", text: "zzqqxx: 1", shown: "n:1:1: error: unknown field 'zzqqxx' in NetParameter"),
    Slip(
      name: "letter case", text: "layer { name: \"c\" type: \"ReLU\" Bottom: \"x\" }",
      shown: "n:1:32: error: layer 'c' (ReLU): unknown field 'Bottom' in LayerParameter; did you mean 'bottom'?"),
    Slip(
      name: "of a child", text: "layer { name: \"c\" type: \"Convolution\" lr_mult: 1 }",
      shown: "n:1:39: error: layer 'c' (Convolution): unknown field 'lr_mult' in LayerParameter; "
        + "it belongs in 'param { … }'"),
    Slip(
      name: "of the type's block", text: "layer { name: \"c\" type: \"InnerProduct\" num_output: 2 }",
      shown: "n:1:40: error: layer 'c' (InnerProduct): unknown field 'num_output' in LayerParameter; "
        + "it belongs in 'inner_product_param { … }'"),
    Slip(
      name: "of the parent",
      text: "layer { name: \"c\" type: \"Convolution\" convolution_param { top: \"c\" } }",
      shown: "n:1:59: error: layer 'c' (Convolution): unknown field 'top' in ConvolutionParameter; "
        + "it belongs outside 'convolution_param'"),
    Slip(
      name: "of a sibling", text: "layer { name: \"d\" type: \"Data\" data_param { mean_value: 104 } }",
      shown: "n:1:45: error: layer 'd' (Data): unknown field 'mean_value' in DataParameter; "
        + "it belongs in 'transform_param { … }'"),
    Slip(
      name: "of 2014", text: "layer { name: \"c\" type: \"Convolution\" blobs_lr: 1 }",
      shown: "n:1:39: error: layer 'c' (Convolution): unknown field 'blobs_lr' in LayerParameter; "
        + "write param { lr_mult: … } for each parameter"),
    Slip(
      name: "of a layer, at the top", text: "bottom: \"x\"",
      shown: "n:1:1: error: unknown field 'bottom' in NetParameter; it belongs in 'layer { … }'; "
        + "is there one '}' too many above?"),
    Slip(
      name: "of a solver", text: "base_lr: 0.1",
      shown: "n:1:1: error: unknown field 'base_lr' in NetParameter; it is a solver's; this file is read as a net"),
  ]

  static let structure = [
    Slip(
      name: "no closing brace", text: "layer {\n  name: \"a\"\n  type: \"ReLU\"\n",
      shown:
        "n:4:1: error: layer 'a' (ReLU): the block of 'layer' is never closed; expected '}' before the end of the file\n"
        + "  note: 'layer' is opened at n:1:1"),
    Slip(
      name: "no closing brace before the next layer",
      text: "layer {\n  name: \"a\"\n  type: \"ReLU\"\n  relu_param {\n}\nlayer {\n  name: \"b\"\n  type: \"TanH\"\n}",
      shown: "n:6:1: error: layer 'a' (ReLU): expected '}' before 'layer': the block of 'layer' is still open\n"
        + "  note: 'layer' is opened at n:1:1"),
    Slip(
      name: "one brace too many", text: "layer {\n  name: \"a\"\n}\n}\n",
      shown: "n:4:1: error: '}' closes nothing: there is one too many, or a block above ends too early"),
    Slip(
      name: "wrong bracket", text: "layer <\n  name: \"a\"\n}\n",
      shown: "n:3:1: error: expected '>' to close 'layer', got '}'"),
    Slip(
      name: "no colon", text: "name \"x\"", shown: "n:1:6: error: expected ':' after 'name', got \"x\""),
    Slip(
      name: "equals sign", text: "layer { name = \"x\" }",
      shown: "n:1:14: error: expected ':' after 'name', got '='"),
    Slip(
      name: "no value",
      text: "layer {\n  name: \"a\" type: \"Pooling\"\n  pooling_param { kernel_size:\n    stride: 2 }\n}",
      shown:
        "n:4:5: error: layer 'a' (Pooling): the value of 'kernel_size' is missing: expected a whole number, 0 or more"),
    Slip(
      name: "quote left open", text: "name: \"x\nlayer { }\n",
      shown: "n:1:7: error: the value of 'name' has no closing \" on its line"),
    Slip(
      name: "curly quotes", text: "name: “x”",
      shown: "n:1:7: error: 'name' takes a string in quotes, got the curly quote '“'; use straight quotes"),
    Slip(
      name: "backslash", text: "layer { name: \"d\" type: \"Data\" data_param { source: \"C:\\data\" } }",
      shown: "n:1:53: error: layer 'd' (Data): '\\d' in the value of 'source' means nothing; "
        + "write '\\\\' for a backslash"),
    Slip(
      name: "block for a value", text: "layer { name { } }",
      shown: "n:1:14: error: 'name' takes a string in quotes, not a block"),
    Slip(
      name: "value for a block", text: "layer { name: \"d\" type: \"Data\" data_param: \"x\" }",
      shown: "n:1:44: error: layer 'd' (Data): 'data_param' takes a block: expected '{', got \"x\""),
    Slip(
      name: "brace on its own", text: "{ name: \"a\" }", shown: "n:1:1: error: expected the name of a field, got '{'"),
    Slip(
      name: "list left open", text: "input_dim: [1, 3",
      shown: "n:1:17: error: expected ',' or ']' in the list of 'input_dim', got the end of the file"),
    Slip(
      name: "given twice", text: "layer {\n  name: \"a\"\n  type: \"ReLU\"\n  name: \"b\"\n}",
      shown: "n:4:3: error: layer 'a' (ReLU): 'name' is given twice, but LayerParameter takes it once\n"
        + "  note: it is given first at n:2:3"),
    Slip(
      name: "tabs count as one", text: "layer {\n\tname: \"a\" type: \"ReLU\"\n\t\tbotom: \"x\"\n}",
      shown: "n:3:3: error: layer 'a' (ReLU): unknown field 'botom' in LayerParameter; did you mean 'bottom'?"),
    Slip(
      name: "letters beyond ASCII count as one", text: "layer { name: \"Größe\" type: \"ReLU\" botom: \"x\" }",
      shown: "n:1:36: error: layer 'Größe' (ReLU): unknown field 'botom' in LayerParameter; did you mean 'bottom'?"),
  ]

  static let values = [
    Slip(
      name: "enumeration", text: "layer { name: \"p\" type: \"Pooling\" pooling_param { pool: MXA } }",
      shown: "n:1:57: error: layer 'p' (Pooling): unknown value MXA of 'pool'; did you mean MAX? "
        + "(known values: MAX, AVE, STOCHASTIC, AVE_EXC_PAD, AVE_TF)"),
    Slip(
      name: "enumeration in quotes", text: "layer { name: \"p\" type: \"Pooling\" pooling_param { pool: \"MAX\" } }",
      shown: "n:1:57: error: layer 'p' (Pooling): 'pool' takes a name without quotes: write MAX"),
    Slip(
      name: "whole number in quotes",
      text: "layer { name: \"c\" type: \"Convolution\" convolution_param { num_output: \"8\" } }",
      shown: "n:1:71: error: layer 'c' (Convolution): 'num_output' takes a whole number, 0 or more, got \"8\""),
    Slip(
      name: "fraction for a whole number",
      text: "layer { name: \"c\" type: \"Convolution\" convolution_param { num_output: 1.5 } }",
      shown: "n:1:71: error: layer 'c' (Convolution): 'num_output' takes a whole number, 0 or more, got 1.5"),
    Slip(
      name: "too large", text: "input_dim: 3000000000",
      shown: "n:1:12: error: 3000000000 is out of range for 'input_dim', which takes a whole number"),
    Slip(
      name: "no quotes", text: "name: LeNet", shown: "n:1:7: error: 'name' takes a string in quotes, got LeNet"),
    Slip(
      name: "type of 2014 in a layer", text: "layer { name: \"s\" type: SOFTMAX_LOSS }",
      shown: "n:1:25: error: layer 's' (SOFTMAX_LOSS): 'type' takes a string in quotes, got SOFTMAX_LOSS; "
        + "write \"SoftmaxWithLoss\""),
    Slip(
      name: "type of today in layers", text: "layers { name: \"s\" type: \"Softmax\" }",
      shown: "n:1:26: error: layer 's' (Softmax): 'type' in 'layers' takes a name such as CONVOLUTION; "
        + "with a type in quotes write 'layer'"),
    Slip(
      name: "yes for a bool", text: "force_backward: yes",
      shown: "n:1:17: error: 'force_backward' takes true or false, got yes"),
    Slip(
      name: "word for a number", text: "layer { name: \"l\" type: \"LRN\" lrn_param { alpha: tiny } }",
      shown: "n:1:50: error: layer 'l' (LRN): 'alpha' takes a number, got tiny"),
    Slip(
      name: "list for one value", text: "layer { name: \"p\" type: \"Pooling\" pooling_param { kernel_size: [2, 2] } }",
      shown: "n:1:64: error: layer 'p' (Pooling): 'kernel_size' takes one value, not a list"),
    Slip(
      name: "required field", text: "layer {\n  name: \"c\"\n  type: \"Clip\"\n  clip_param { min: 0 }\n}",
      shown: "n:4:3: error: 'max' is missing in 'clip_param'"),
  ]

  static let solver = [
    Slip(
      name: "field", text: "base_lr: 0.1\nmomentun: 0.9\n",
      shown: "n:2:1: error: unknown field 'momentun' in SolverParameter; did you mean 'momentum'?"),
    Slip(
      name: "enumeration", text: "solver_mode: GPUU",
      shown: "n:1:14: error: unknown value GPUU of 'solver_mode'; did you mean GPU? (known values: CPU, GPU)"),
    Slip(
      name: "a net", text: "layer { }",
      shown: "n:1:1: error: unknown field 'layer' in SolverParameter; it is a net's; this file is read as a solver"),
  ]
}

/// What a user is shown when `body` throws; empty when it does not.
func messages(_ body: () throws -> Void) -> String {
  do {
    try body()
    return ""
  } catch { return "\(error)" }
}
