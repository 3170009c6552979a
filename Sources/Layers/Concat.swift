import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Lays its bottoms one behind the other along `axis`; all other extents must agree.
package struct Concat: Layer {
  package static let type = "Concat"
  package static let parameterFields: [String]? = ["concat_param"]
  package static let bottomCount = 1...Int.max
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: ConcatParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.concatParam
    try fields.refuse(param.perFlaFuse, "concat_param.per_fla_fuse", "bottoms are concatenated as they are")
    if param.hasAxis, param.hasConcatDim {
      throw fields.fault("give either axis or the older concat_dim", at: "concat_param.concat_dim")
    }
  }

  private func description(_ bottoms: [Shape]) throws -> ConcatDescription {
    let axis = try bottoms[0].canonicalAxis(param.hasConcatDim ? Int(param.concatDim) : Int(param.axis))
    for (index, bottom) in bottoms.enumerated() {
      var expected = bottoms[0]
      if axis < bottom.rank { expected[axis] = bottom[axis] }
      guard bottom == expected else {
        throw fields.fault(
          .badShape,
          "bottoms may differ in axis \(axis) only, but bottom 0 is \(bottoms[0]) and bottom \(index) is \(bottom)")
      }
    }
    return ConcatDescription(bottomShapes: bottoms, axis: axis)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    LayerShapes(tops: [try description(bottoms).topShape])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? description(bottoms))?.axis == axis ? nil : .all
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    binding.backwardReads()
    if binding.bottomShapes.count == 1 {
      _ = binding.topViewing(binding.bottom(0), 0)
      return ViewRun()
    }
    let indices = binding.bottomShapes.indices
    let op = try binding.engine.concat(
      description(binding.bottomShapes), bottoms: indices.map(binding.bottomLayout))
    return Run(op, indices.map { binding.bottom($0, in: op.bottomLayouts[$0]) }, binding.top(0, in: op.topLayout))
  }

  private final class Run: DescribedRun {
    private let op: any ConcatOp
    private let bottoms: [Blob]
    private let top: Blob
    private let pointers: PointerList

    init(_ op: any ConcatOp, _ bottoms: [Blob], _ top: Blob) {
      self.op = op
      self.bottoms = bottoms
      self.top = top
      pointers = PointerList(bottoms.count)
    }

    var implementation: String { op.implementation }

    func forward() {
      for (index, bottom) in bottoms.enumerated() { pointers[index] = bottom.data }
      op.forward(bottoms: pointers.base, top: top.data)
    }

    func backward() {
      for (index, bottom) in bottoms.enumerated() where bottom.hasGradient {
        op.backward(topGradient: top.gradient, index: index, bottomGradient: bottom.gradient)
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "channels", inputs: [.normal([2, 3, 2, 2]), .normal([2, 1, 2, 2])],
      #"layer { name: "c" type: "Concat" bottom: "in0" bottom: "in1" top: "c" }"#),
    LayerExample(
      "batch", inputs: [.normal([2, 3]), .normal([1, 3])],
      #"layer { name: "c" type: "Concat" bottom: "in0" bottom: "in1" top: "c" concat_param { axis: 0 } }"#),
  ]
}
