import Compute
import Nets
import Tensors

/// Each record divided by its length: top = x / |x| over all axes but the first. A record of length 0 stays 0.
///
/// Several forks for faces and for ranking have it, under this name and as NormalizationL2.
package struct Normalization: Layer {
  package static let type = "Normalization"
  package static let parameterFields: [String]? = []
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  package init(_ fields: LayerFields) throws {}

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { LayerShapes(tops: bottoms) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let (bottom, top) = (binding.bottom(0), binding.top(0))
    binding.backwardReads(tops: [top])
    binding.allowInPlace(bottom, top)
    let records = bottom.shape.extent(0)
    return Run(binding.engine, bottom, top, factors: binding.workspace(records * MemoryLayout<Float>.stride))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    /// 1 / |x| of each record.
    private let factors: Region
    private let records: Int
    private let width: Int

    init(_ engine: any Engine, _ bottom: Blob, _ top: Blob, factors: Region) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.factors = factors
      records = bottom.shape.extent(0)
      width = bottom.count / max(1, records)
    }

    private var factor: UnsafeMutablePointer<Float> { factors.pointer.assumingMemoryBound(to: Float.self) }

    func forward() {
      for n in 0..<records {
        let x = bottom.values + n * width
        let square = Float(engine.vectors.dot(width, x, x))
        factor[n] = square == 0 ? 0 : 1 / square.squareRoot()
        engine.vectors.axpby(width, factor[n], x, 0, top.values + n * width)
      }
    }

    /// (dy - y (y . dy)) / |x|
    func backward() {
      for n in 0..<records {
        let (y, dy, dx) = (top.values + n * width, top.gradients + n * width, bottom.gradients + n * width)
        let along = Float(engine.vectors.dot(width, y, dy))
        for i in 0..<width { dx[i] = factor[n] * (dy[i] - along * y[i]) }
      }
    }
  }

  package static let examples: [LayerExample] = normalizationExamples(type)
}

/// Normalization under the name of another fork.
package struct NormalizationL2: Layer {
  package static let type = "NormalizationL2"
  package static let parameterFields: [String]? = []
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let normalization: Normalization

  package init(_ fields: LayerFields) throws { normalization = try Normalization(fields) }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try normalization.shapes(of: bottoms) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    normalization.rowwise(bottoms, along: axis)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try normalization.bind(binding) }

  package static let examples: [LayerExample] = normalizationExamples(type)
}

private func normalizationExamples(_ type: String) -> [LayerExample] {
  [([3, 2, 4] as Shape, "n"), ([4, 5] as Shape, "in0")].map { shape, top in
    LayerExample(
      top == "n" ? "three axes" : "in place", inputs: [.normal(shape)],
      #"layer { name: "n" type: "\#(type)" bottom: "in0" top: "\#(top)" }"#)
  }
}
