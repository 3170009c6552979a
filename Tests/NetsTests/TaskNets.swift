import Testing

/// Nets of several tasks, of every kind of sharing.
struct TaskNet: CustomTestStringConvertible {
  let name: String
  let text: String
  /// Per task, the names of its losses.
  let losses: [[String]]

  var testDescription: String { name }

  static let all: [TaskNet] = [
    TaskNet(
      name: "two heads on convolutions in place",
      text: inputs + """
        layer { name: "c1" type: "Convolution" bottom: "x" top: "c1" convolution_param { num_output: 5 kernel_size: 3
          weight_filler { type: "xavier" } } }
        layer { name: "b1" type: "BatchNorm" bottom: "c1" top: "c1" }
        layer { name: "s1" type: "Scale" bottom: "c1" top: "c1" scale_param { bias_term: true } }
        layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
        layer { name: "d1" type: "Dropout" bottom: "c1" top: "c1" }
        layer { name: "p1" type: "Pooling" bottom: "c1" top: "p1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
        \(head("a", on: "p1"))
        \(head("b", on: "p1", hidden: true))
        """, losses: [["loss_a"], ["loss_b"]]),
    TaskNet(
      name: "forty heads", text: inputs + hidden + (0..<40).map { head("t\($0)", on: "h") }.joined(),
      losses: (0..<40).map { ["loss_t\($0)"] }),
    TaskNet(
      name: "heads at several depths, two of one task",
      text: inputs + """
        layer { name: "c1" type: "Convolution" bottom: "x" top: "c1" convolution_param { num_output: 4 kernel_size: 3
          weight_filler { type: "xavier" } } }
        layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
        \(head("early", on: "c1"))
        layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param { num_output: 6 kernel_size: 3
          weight_filler { type: "xavier" } } }
        layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }
        \(head("middle", on: "c2", hidden: true))
        layer { name: "f" type: "Flatten" bottom: "c2" top: "f" }
        layer { name: "h" type: "InnerProduct" bottom: "f" top: "h" inner_product_param { num_output: 7
          weight_filler { type: "xavier" } } }
        layer { name: "t" type: "TanH" bottom: "h" top: "h" }
        \(head("late", on: "h"))
        \(head("other", on: "h"))
        """, losses: [["loss_early", "loss_late"], ["loss_middle"], ["loss_other"]]),
    TaskNet(
      name: "a task that reads another's head",
      text: inputs + hidden + """
        \(head("a", on: "h"))
        layer { name: "soft" type: "Softmax" bottom: "score_a" top: "soft" }
        layer { name: "both" type: "Concat" bottom: "h" bottom: "soft" top: "both" }
        \(head("b", on: "both"))
        \(head("c", on: "h"))
        """, losses: [["loss_a"], ["loss_b"], ["loss_c"]]),
    TaskNet(
      name: "parts of a blob, sums and views",
      text: inputs + """
        layer { name: "f" type: "Flatten" bottom: "x" top: "f" }
        layer { name: "h" type: "InnerProduct" bottom: "f" top: "h" inner_product_param { num_output: 12
          weight_filler { type: "xavier" } } }
        layer { name: "slice" type: "Slice" bottom: "h" top: "h1" top: "h2" top: "h3" slice_param { axis: 1 } }
        layer { name: "w1" type: "InnerProduct" bottom: "h1" top: "w1" inner_product_param { num_output: 4
          weight_filler { type: "xavier" } } }
        layer { name: "sum" type: "Eltwise" bottom: "w1" bottom: "h2" top: "sum" }
        layer { name: "r" type: "ReLU" bottom: "sum" top: "sum" }
        layer { name: "as" type: "Reshape" bottom: "sum" top: "as" reshape_param { shape { dim: 0 dim: 2 dim: 2 } } }
        layer { name: "copies" type: "Split" bottom: "as" top: "as1" top: "as2" }
        \(head("a", on: "as1"))
        \(head("b", on: "as2"))
        \(head("c", on: "h3"))
        layer { name: "product" type: "Eltwise" bottom: "h2" bottom: "h3" top: "product" eltwise_param { operation: PROD } }
        \(head("d", on: "product", hidden: true))
        """, losses: [["loss_a"], ["loss_b"], ["loss_c"], ["loss_d"]]),
    TaskNet(
      name: "two towers of the same weights",
      text: inputs + """
        layer { name: "y" type: "DummyData" top: "y" top: "same" dummy_data_param {
          shape { dim: 4 dim: 2 dim: 6 dim: 6 } shape { dim: 4 } data_filler { type: "gaussian" std: 1 }
          data_filler { value: 1 } } }
        layer { name: "h1" type: "InnerProduct" bottom: "x" top: "h1" param { name: "w" } param { name: "b" }
          inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
        layer { name: "h2" type: "InnerProduct" bottom: "y" top: "h2" param { name: "w" } param { name: "b" }
          inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
        layer { name: "t1" type: "Sigmoid" bottom: "h1" top: "h1" }
        layer { name: "t2" type: "Sigmoid" bottom: "h2" top: "h2" }
        layer { name: "pair" type: "ContrastiveLoss" bottom: "h1" bottom: "h2" bottom: "same" top: "loss_pair" }
        \(head("a", on: "h1"))
        \(head("b", on: "h2"))
        """, losses: [["loss_pair"], ["loss_a"], ["loss_b"]]),
    TaskNet(
      name: "heads that share their weights, and nothing else shared",
      text: inputs + """
        layer { name: "h1" type: "InnerProduct" bottom: "x" top: "h1" param { name: "w" } param { lr_mult: 0 }
          inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
        layer { name: "h2" type: "InnerProduct" bottom: "x" top: "h2" param { name: "w" } param { lr_mult: 2 }
          inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
        layer { name: "p1" type: "SoftmaxWithLoss" bottom: "h1" bottom: "l" top: "loss_a" loss_weight: 0.5 }
        layer { name: "p2" type: "SoftmaxWithLoss" bottom: "h2" bottom: "k" top: "loss_b" }
        """, losses: [["loss_a"], ["loss_b"]]),
    TaskNet(
      name: "a loss on a shared blob",
      text: inputs + """
        layer { name: "f" type: "Flatten" bottom: "x" top: "f" }
        layer { name: "h" type: "InnerProduct" bottom: "f" top: "h" loss_weight: 0.01 inner_product_param { num_output: 7
          weight_filler { type: "xavier" } } }
        \(head("a", on: "h"))
        \(head("b", on: "h"))
        """, losses: [["h"], ["loss_a"], ["loss_b"]]),
    TaskNet(
      name: "three heads on convolutions of few channels, at the same place",
      text: inputs + """
        layer { name: "c1" type: "Convolution" bottom: "x" top: "c1" convolution_param { num_output: 6 kernel_size: 3
          weight_filler { type: "xavier" } } }
        layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
        layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param { num_output: 7 kernel_size: 2
          pad: 1 weight_filler { type: "xavier" } } }
        layer { name: "p2" type: "Pooling" bottom: "c2" top: "p2" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
        \(head("a", on: "p2"))
        \(head("b", on: "p2", hidden: true))
        \(head("c", on: "p2"))
        """, losses: [["loss_a"], ["loss_b"], ["loss_c"]]),
    TaskNet(name: "one task", text: inputs + hidden + head("a", on: "h"), losses: [["loss_a"]]),
  ]

  private static let inputs = """
    layer { name: "x" type: "DummyData" top: "x" top: "l" top: "k" dummy_data_param {
      shape { dim: 4 dim: 2 dim: 6 dim: 6 } shape { dim: 4 } shape { dim: 4 }
      data_filler { type: "gaussian" std: 1 } data_filler { value: 1 } data_filler { value: 2 } } }
    """

  private static let hidden = """
    layer { name: "h" type: "InnerProduct" bottom: "x" top: "h" inner_product_param { num_output: 8
      weight_filler { type: "xavier" } } }
    layer { name: "rh" type: "ReLU" bottom: "h" top: "h" relu_param { negative_slope: 0.3 } }
    """

  private static func head(_ name: String, on bottom: String, hidden: Bool = false) -> String {
    let first =
      hidden
      ? """
      layer { name: "hidden_\(name)" type: "InnerProduct" bottom: "\(bottom)" top: "hidden_\(name)"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
      layer { name: "relu_\(name)" type: "ReLU" bottom: "hidden_\(name)" top: "hidden_\(name)" }
      """ : ""
    return first + """
      layer { name: "score_\(name)" type: "InnerProduct" bottom: "\(hidden ? "hidden_\(name)" : bottom)"
        top: "score_\(name)" inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
      layer { name: "loss_\(name)" type: "SoftmaxWithLoss" bottom: "score_\(name)" bottom: "l" top: "loss_\(name)"
        loss_weight: 0.7 }
      """
  }
}
