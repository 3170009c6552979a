import CaffeSchema
import Compute
import Nets
import Tensors

/// exp(x) / sum of exp(x) along `axis`, computed after the maximum is taken off.
package struct Softmax: Layer {
  package static let type = "Softmax"
  package static let parameterFields: [String]? = ["softmax_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let axis: Int

  package init(_ fields: LayerFields) throws {
    axis = Int(fields.parameter.softmaxParam.axis)
    try SoftmaxDescription.refuseForks(fields)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    _ = try bottoms[0].canonicalAxis(axis)
    return LayerShapes(tops: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? bottoms[0].canonicalAxis(self.axis)) == axis ? nil : .all
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let op = try binding.engine.softmax(SoftmaxDescription(binding.bottomShapes[0], axis: axis))
    let bottom = binding.bottom(0)
    let top = binding.top(0)
    binding.backwardReads(tops: [top])
    binding.allowInPlace(bottom, top)
    return Run(op, bottom, top)
  }

  private final class Run: DescribedRun {
    private let op: any SoftmaxOp
    private let bottom: Blob
    private let top: Blob

    init(_ op: any SoftmaxOp, _ bottom: Blob, _ top: Blob) {
      self.op = op
      self.bottom = bottom
      self.top = top
    }

    var implementation: String { op.implementation }

    func forward() { op.forward(bottom: bottom.values, top: top.values) }

    func backward() { op.backward(top: top.values, topGradient: top.gradients, bottomGradient: bottom.gradients) }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "classes", inputs: [.normal([4, 5])], #"layer { name: "p" type: "Softmax" bottom: "in0" top: "p" }"#),
    LayerExample(
      "per position, in place", inputs: [.normal([2, 3, 2, 2])],
      #"layer { name: "p" type: "Softmax" bottom: "in0" top: "in0" }"#),
    LayerExample(
      "last axis", inputs: [.normal([2, 3, 4])],
      #"layer { name: "p" type: "Softmax" bottom: "in0" top: "p" softmax_param { axis: -1 } }"#),
  ]
}

extension SoftmaxDescription {
  static func refuseForks(_ fields: LayerFields) throws {
    try fields.refuse(
      fields.parameter.softmaxParam.normalizeType != "Softmax", "softmax_param.normalize_type",
      "use a Normalize layer with normalize_param for L1 and L2")
  }

  init(_ shape: Shape, axis: Int) throws {
    let axis = try shape.canonicalAxis(axis)
    self.init(outer: shape.count(..<axis), channels: shape[axis], inner: shape.count((axis + 1)...))
  }
}
