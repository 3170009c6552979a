import Compute
import Diagnostics
import Nets
import Tensors

/// Picks records: top[i] = bottom[index[i]]. Records may be left out, or come several times.
///
/// Bottoms: N x …, and M indices in 0 ..< N. Top M x …. The indices take no gradient.
package struct BatchReindex: Layer {
  package static let type = "BatchReindex"
  package static let parameterFields: [String]? = []
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[1].rank == 1 else {
      throw fields.fault(.badShape, "the indices must have one axis, but they are \(bottoms[1])", at: "bottom[1]")
    }
    guard bottoms[0].rank >= 1 else { throw fields.fault(.badShape, "the first bottom has no records to pick") }
    return LayerShapes(tops: [Shape([bottoms[1][0]] + bottoms[0].dims.dropFirst())])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == 0 ? RowwiseBlobs(bottoms: [1]) : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    let indices = binding.bottom(1)
    binding.backwardReads(bottoms: [indices])
    return Run(bottom, indices, binding.top(0), RowIndices(fields, bottom: 1, count: bottom.shape[0]))
  }

  private final class Run: LayerRun {
    private let bottom: Blob
    private let indices: Blob
    private let top: Blob
    private let rows: RowIndices
    private let width: Int

    init(_ bottom: Blob, _ indices: Blob, _ top: Blob, _ rows: RowIndices) {
      self.bottom = bottom
      self.indices = indices
      self.top = top
      self.rows = rows
      width = bottom.shape.count(1...)
    }

    func forward() throws {
      for i in 0..<indices.count {
        let row = try rows.index(indices.values, i)
        (top.values + i * width).update(from: bottom.values + row * width, count: width)
      }
    }

    func backward() throws {
      bottom.gradients.update(repeating: 0, count: bottom.count)
      for i in 0..<indices.count {
        let sum = bottom.gradients + (try rows.index(indices.values, i)) * width
        let part = top.gradients + i * width
        for j in 0..<width { sum[j] += part[j] }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "with repetition", inputs: [.normal([3, 4, 2]), .labels([5], classes: 3)],
      #"layer { name: "b" type: "BatchReindex" bottom: "in0" bottom: "in1" top: "b" }"#)
  ]
}
