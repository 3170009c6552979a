import CaffeSchema
import ComputeReference
import Nets

@testable import mtl

/// A net with two heads on one bottom, in place layers and a view, for the commands that look into nets. The heads' axes
/// are told from both ends, so that they do not join into one step, and the rectifier is leaky, so that it is a step.
enum SmallNet {
  static let prototxt = """
    layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
      shape { dim: 2 dim: 1 dim: 6 dim: 6 } shape { dim: 2 } data_filler { type: "gaussian" std: 1 }
      data_filler { type: "constant" value: 1 } } }
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 3 kernel_size: 3
      weight_filler { type: "xavier" } } }
    layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
    layer { name: "flat" type: "Flatten" bottom: "conv" top: "flat" }
    layer { name: "a" type: "InnerProduct" bottom: "flat" top: "a" inner_product_param { num_output: 4
      weight_filler { type: "xavier" } } }
    layer { name: "b" type: "InnerProduct" bottom: "flat" top: "b" inner_product_param { num_output: 2 axis: -1
      weight_filler { type: "xavier" } } }
    layer { name: "loss_a" type: "SoftmaxWithLoss" bottom: "a" bottom: "label" top: "loss_a" }
    layer { name: "loss_b" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "loss_b" loss_weight: 0.5 }
    """

  static func make(_ phase: Phase, prototxt: String = Self.prototxt) throws -> Net {
    try Net(
      NetSource(text: prototxt, file: "net.prototxt"), engine: ReferenceEngine(), catalogue: EngineOptions.catalogue,
      options: NetOptions(phase: phase))
  }
}
