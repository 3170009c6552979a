import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Each row over the last axis brought to mean 0 and variance 1 (Ba, Kiros, Hinton, 2016; MyCaffe): top = (x - mean) /
/// sqrt(variance + `epsilon`). Nothing is learned; a Scale layer behind it does that.
package struct LayerNorm: Layer {
  package static let type = "LayerNorm"
  package static let parameterFields: [String]? = ["layer_norm_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let epsilon: Float

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    epsilon = fields.parameter.layerNormParam.epsilon
    guard epsilon >= 0 else { throw fields.fault("epsilon must not be below 0", at: "layer_norm_param.epsilon") }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank >= 1 else { throw fields.fault(.badShape, "the bottom has no axis to normalise over") }
    return LayerShapes(tops: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis < bottoms[0].rank - 1 ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let (bottom, top) = (binding.bottom(0), binding.top(0))
    binding.backwardReads(tops: [top])
    binding.allowInPlace(bottom, top)
    let width = bottom.shape.dims.last ?? 1
    let rows = width == 0 ? 0 : bottom.count / width
    return Run(bottom, top, epsilon, rows: rows, factors: binding.workspace(rows * MemoryLayout<Float>.stride))
  }

  private final class Run: LayerRun {
    private let bottom: Blob
    private let top: Blob
    private let epsilon: Float
    private let rows: Int
    /// 1 / sqrt(variance + epsilon) of each row.
    private let factors: Region

    init(_ bottom: Blob, _ top: Blob, _ epsilon: Float, rows: Int, factors: Region) {
      self.bottom = bottom
      self.top = top
      self.epsilon = epsilon
      self.rows = rows
      self.factors = factors
    }

    private var factor: UnsafeMutablePointer<Float> { factors.pointer.assumingMemoryBound(to: Float.self) }

    func forward() {
      guard rows > 0 else { return }
      let width = bottom.count / rows
      for row in 0..<rows {
        let (x, y) = (bottom.values + row * width, top.values + row * width)
        var sum = 0.0
        for i in 0..<width { sum += Double(x[i]) }
        let mean = Float(sum / Double(width))
        var squares = 0.0
        for i in 0..<width {
          y[i] = x[i] - mean
          squares += Double(y[i]) * Double(y[i])
        }
        factor[row] = 1 / (Float(squares / Double(width)) + epsilon).squareRoot()
        for i in 0..<width { y[i] *= factor[row] }
      }
    }

    /// (dy - mean(dy) - y mean(y dy)) / sqrt(variance + epsilon)
    func backward() {
      guard rows > 0 else { return }
      let width = bottom.count / rows
      for row in 0..<rows {
        let (y, dy, dx) = (top.values + row * width, top.gradients + row * width, bottom.gradients + row * width)
        var (sum, along) = (0.0, 0.0)
        for i in 0..<width {
          sum += Double(dy[i])
          along += Double(dy[i]) * Double(y[i])
        }
        let (mean, share) = (Float(sum / Double(width)), Float(along / Double(width)))
        for i in 0..<width { dx[i] = factor[row] * (dy[i] - mean - y[i] * share) }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "three axes", inputs: [.normal([2, 3, 6])], #"layer { name: "n" type: "LayerNorm" bottom: "in0" top: "n" }"#),
    LayerExample(
      "large epsilon", inputs: [.normal([4, 5])],
      #"layer { name: "n" type: "LayerNorm" bottom: "in0" top: "n" layer_norm_param { epsilon: 0.1 } }"#),
  ]
}
