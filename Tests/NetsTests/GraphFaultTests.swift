import CaffeSchema
import ComputeReference
import Diagnostics
import Layers
import Nets
import Testing

/// What a newcomer gets wrong, and the whole message for it.
@Suite struct GraphFaultTests {
  static let data =
    #"layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }"#

  static let faults: [(text: String, message: String)] = [
    (
      #"layer { name: "c" type: "Convolutoin" bottom: "data" top: "c" }"#,
      "net.prototxt:2:19: error: layer 'c': unknown layer type 'Convolutoin'; did you mean 'Convolution'?"
    ),
    (
      #"layer { name: "c" bottom: "data" top: "c" }"#,
      "net.prototxt:2:1: error: layer 'c' has no type; add one, such as type: \"Convolution\""
    ),
    (
      #"layer { name: "r" type: "ReLU" bottom: "dtaa" top: "r" }"#,
      """
      net.prototxt:2:32: error: layer 'r' (ReLU): bottom 'dtaa' is not produced by any layer; did you mean 'data'?
        note: blobs that exist here: data
      """
    ),
    (
      """
      layer { name: "r" type: "ReLU" bottom: "c" top: "r" }
      layer { name: "c" type: "Softmax" bottom: "data" top: "c" }
      """,
      "net.prototxt:2:32: error: layer 'r' (ReLU): bottom 'c' is produced only later, by layer 'c'; "
        + "move that layer before this one"
    ),
    (
      """
      layer { name: "a" type: "Eltwise" bottom: "data" bottom: "b" top: "a" }
      layer { name: "b" type: "ReLU" bottom: "a" top: "b" }
      """,
      "net.prototxt:2:50: error: layer 'a' (Eltwise): cycle: 'b' is made by a layer that needs this one: a -> b -> a"
    ),
    (
      #"layer { name: "r" type: "ReLU" bottom: "r" top: "r" }"#,
      "net.prototxt:2:32: error: layer 'r' (ReLU): bottom 'r' is its own top; nothing before it makes 'r'"
    ),
    (
      """
      layer { name: "r" type: "ReLU" bottom: "data" top: "x" }
      layer { name: "s" type: "Softmax" bottom: "data" top: "x" }
      """,
      """
      net.prototxt:3:50: error: layer 's' (Softmax): top 'x' is already produced by layer 'r'; give it another name
        note: 'x' is produced at net.prototxt:2:1
      """
    ),
    (
      #"layer { name: "r" type: "ReLU" top: "r" }"#,
      "net.prototxt:2:1: error: layer 'r' (ReLU): takes 1 bottom, but 0 are given"
    ),
    (
      #"layer { name: "r" type: "ReLU" bottom: "data" bottom: "data" top: "r" }"#,
      "net.prototxt:2:32: error: layer 'r' (ReLU): takes 1 bottom, but 2 are given"
    ),
    (
      #"layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 } }"#,
      "net.prototxt:2:63: error: layer 'c' (Convolution): kernel_size is missing; give it (or kernel_h and kernel_w)"
    ),
    (
      #"layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { kernel_size: 3 } }"#,
      "net.prototxt:2:63: error: layer 'c' (Convolution): num_output must be at least 1"
    ),
    (
      """
      layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 4 kernel_size: 9 } }
      """,
      """
      net.prototxt:3:37: error: layer 'c' (Convolution): kernel_size 9x9 is larger than its padded input 8x8
        note: bottom 'data' is 2x3x8x8, produced by 'data' at net.prototxt:1:1
      """
    ),
    (
      """
      layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 group: 2 } }
      """,
      """
      net.prototxt:3:52: error: layer 'c' (Convolution): the bottom's 3 channels are not a multiple of group 2
        note: bottom 'data' is 2x3x8x8, produced by 'data' at net.prototxt:1:1
      """
    ),
    (
      """
      layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xaver" } } }
      """,
      "net.prototxt:2:1: error: layer 'c' (Convolution): unknown filler type 'xaver'; did you mean 'xavier'? "
        + "(known: constant, uniform, gaussian, xavier, msra, positive_unitball, bilinear)"
    ),
    (
      #"layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { pool: MAX } }"#,
      "net.prototxt:2:59: error: layer 'p' (Pooling): give either kernel_size or both kernel_h and kernel_w"
    ),
    (
      #"layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" }"#,
      """
      net.prototxt:2:1: error: layer 's' (Slice): axis 1 of the bottom 2x3x8x8 cannot be cut evenly into 2 tops; \
      give slice_point
        note: bottom 'data' is 2x3x8x8, produced by 'data' at net.prototxt:1:1
      """
    ),
    (
      #"layer { name: "s" type: "Slice" bottom: "data" top: "a" top: "b" slice_param { slice_point: 1 slice_point: 2 } }"#,
      "net.prototxt:2:80: error: layer 's' (Slice): 2 tops need 1 slice_point values, but 2 are given"
    ),
    (
      #"layer { name: "f" type: "Flatten" bottom: "data" top: "f" flatten_param { axis: 7 } }"#,
      "net.prototxt:2:1: error: layer 'f' (Flatten): axis 7 is out of range: the bottom is 2x3x8x8, which has 4 axes"
    ),
    (
      #"layer { name: "d" type: "Dropout" bottom: "data" top: "d" dropout_param { dropout_ratio: 1.5 } }"#,
      "net.prototxt:2:75: error: layer 'd' (Dropout): dropout_ratio must be in 0...1; it is 1.5"
    ),
    (
      #"layer { name: "t" type: "Tile" bottom: "data" top: "t" tile_param { axis: 1 tiles: 2147483647 } }"#,
      "net.prototxt:2:1: error: layer 't' (Tile): top 't' would be 2x6442450941x8x8, more than the 2147483647 values that "
        + "it may have"
    ),
    (
      """
      layer { name: "l" type: "Input" top: "label" input_param { shape { dim: 3 } } }
      layer { name: "x" type: "SoftmaxWithLoss" bottom: "data" bottom: "label" top: "x" }
      """,
      """
      net.prototxt:3:58: error: layer 'x' (SoftmaxWithLoss): the scores 2x3x8x8 need 128 labels, one for each position \
      off axis 1, but the labels are 3
        note: bottom 'data' is 2x3x8x8, produced by 'data' at net.prototxt:1:1
        note: bottom 'label' is 3, produced by 'l' at net.prototxt:2:1
      """
    ),
    (
      """
      layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" } inner_product_param { num_output: 2 } }
      layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" } inner_product_param { num_output: 2 } }
      """,
      """
      net.prototxt:3:61: error: layer 'b' (InnerProduct): parameter 'w' is 2x2 here and 2x192 in layer 'a'
        note: 'w' is first used by layer 'a' at net.prototxt:2:1
      """
    ),
    (
      #"layer { name: "r" type: "ReLU" bottom: "data" top: "r" include { phase: TRAIN } exclude { phase: TEST } }"#,
      "net.prototxt:2:81: error: layer 'r' (ReLU): give either include or exclude rules, not both"
    ),
    (
      #"layer { name: "e" type: "EuclideanLoss" bottom: "data" bottom: "data" top: "e" loss_weight: 1 loss_weight: 2 }"#,
      "net.prototxt:2:80: error: layer 'e' (EuclideanLoss): 2 loss_weight values are given for 1 tops; give one per top"
    ),
  ]

  @Test(arguments: faults.indices)
  func saysWhatAndWhere(_ index: Int) throws {
    let (text, message) = Self.faults[index]
    let fault = #expect(throws: Diagnostic.self) {
      let source = try NetSource(text: Self.data + "\n" + text, file: "net.prototxt")
      _ = try Net(
        source, engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes), options: NetOptions(phase: .train))
    }
    #expect(fault?.description == message)
  }
}
