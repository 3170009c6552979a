import CaffeSchema
import Compute
import Nets
import Tensors

/// top = max(bottom, 0) + negative_slope min(bottom, 0), elementwise (Nair, Hinton, ICML 2010); with `relu6` of a fork,
/// at most 6, as the layer ReLU6 does.
package struct ReLU: Layer {
  package static let type = "ReLU"
  package static let parameterFields: [String]? = ["relu_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let slope: Float
  /// Present when the top is at most 6.
  private let clipped: ReLU6?

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.reluParam
    slope = param.negativeSlope
    clipped = param.relu6 ? try ReLU6(fields) : nil
    guard clipped == nil || slope == 0 else {
      throw fields.fault("relu6 goes without negative_slope", at: "relu_param.relu6")
    }
  }

  /// max(bottom, 0) and nothing else.
  var isPlain: Bool { slope == 0 && clipped == nil }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { LayerShapes(tops: bottoms) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { .all }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let clipped { return try clipped.bind(binding) }
    let layout = binding.bottomLayout(0)
    let op = try binding.engine.rectifier(
      RectifierDescription(shape: binding.bottomShapes[0], negativeSlope: slope), layout: layout)
    let bottom = binding.bottom(0, in: op.layout)
    let top = binding.top(0, in: op.layout)
    // The top tells the sign as well as the bottom does, and it lives on anyway: the next layer's weights need it.
    let reference = slope >= 0 ? top : bottom
    binding.backwardReads(bottoms: slope >= 0 ? [] : [bottom], tops: slope >= 0 ? [top] : [])
    binding.allowInPlace(bottom, top)
    return Run(op, bottom, top, reference)
  }

  private final class Run: DescribedRun {
    private let op: any RectifierOp
    private let bottom: Blob
    private let top: Blob
    private let reference: Blob

    init(_ op: any RectifierOp, _ bottom: Blob, _ top: Blob, _ reference: Blob) {
      self.op = op
      self.bottom = bottom
      self.top = top
      self.reference = reference
    }

    var implementation: String { op.implementation }

    func forward() { op.forward(bottom: bottom.data, top: top.data) }

    func backward() {
      op.backward(reference: reference.data, topGradient: top.gradient, bottomGradient: bottom.gradient)
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "plain", inputs: [.normalAway([2, 3, 4, 5], from: 0)],
      #"layer { name: "relu" type: "ReLU" bottom: "in0" top: "relu" }"#),
    LayerExample(
      "leaky, in place", inputs: [.normalAway([3, 7], from: 0)],
      #"layer { name: "relu" type: "ReLU" bottom: "in0" top: "in0" relu_param { negative_slope: 0.1 } }"#),
    LayerExample(
      "at most 6", inputs: [.distinct([13, 11])],
      #"layer { name: "relu" type: "ReLU" bottom: "in0" top: "relu" relu_param { relu6: true } }"#),
    LayerExample(
      "negative slope below zero", inputs: [.normalAway([3, 7], from: 0)],
      #"layer { name: "relu" type: "ReLU" bottom: "in0" top: "relu" relu_param { negative_slope: -0.5 } }"#),
  ]
}
