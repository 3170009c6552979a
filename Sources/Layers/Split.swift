import CaffeSchema
import Compute
import Nets
import Tensors

/// The bottom under several names; its gradient is the sum of theirs.
///
/// Nets do without it: several layers may read one blob.
package struct Split: Layer {
  package static let type = "Split"
  package static let parameterFields: [String]? = []
  package static let bottomCount = 1...1
  package static let topCount = 1...Int.max

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    LayerShapes(tops: fields.parameter.top.map { _ in bottoms[0] })
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { .all }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    binding.backwardReads()
    guard binding.topShapes.count > 1 else {
      _ = binding.topViewing(bottom, 0)
      return ViewRun()
    }
    // The tops have the bottom's data, but gradients of their own.
    let data = Blob(
      name: bottom.name, shape: bottom.shape, layout: .plain, hasGradient: false, dataRegion: bottom.dataRegion)
    let tops = binding.topShapes.indices.map { binding.topViewing(data, $0) }.filter(\.hasGradient)
    let sum = try binding.engine.sum(
      SumDescription(shape: bottom.shape, coefficients: tops.map { _ in 1 }), bottom: .plain)
    return Run(sum, bottom, tops)
  }

  private final class Run: LayerRun {
    private let sum: any SumOp
    private let bottom: Blob
    private let tops: [Blob]
    private let pointers: PointerList

    init(_ sum: any SumOp, _ bottom: Blob, _ tops: [Blob]) {
      self.sum = sum
      self.bottom = bottom
      self.tops = tops
      pointers = PointerList(tops.count)
    }

    func forward() {}

    func backward() {
      for (index, top) in tops.enumerated() { pointers[index] = top.gradient }
      sum.forward(bottoms: pointers.base, top: bottom.gradient)
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two tops", inputs: [.normal([2, 3])], #"layer { name: "s" type: "Split" bottom: "in0" top: "a" top: "b" }"#),
    LayerExample(
      "three tops", inputs: [.normal([2, 3])],
      #"layer { name: "s" type: "Split" bottom: "in0" top: "a" top: "b" top: "c" }"#),
  ]
}
