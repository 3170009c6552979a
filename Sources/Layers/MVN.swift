import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Takes the mean off each plane and, unless `normalize_variance` is false, divides it by its deviation + `eps`.
///
/// Bottom of up to 4 axes, seen as N x C x H x W, which is the top's shape. With `across_channels`, mean and deviation
/// are those of a whole record. The derivative leaves `eps` out, as Caffe's does.
package struct MVN: Layer {
  package static let type = "MVN"
  package static let parameterFields: [String]? = ["mvn_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: MVNParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.mvnParam
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank <= 4 else {
      throw fields.fault(.badShape, "needs a bottom of at most 4 axes, but it is \(bottoms[0])")
    }
    return LayerShapes(tops: [Shape((0..<4).map { bottoms[0].extent($0) })])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let shape = binding.topShapes[0]
    let rows = param.acrossChannels ? shape[0] : shape[0] * shape[1]
    let bottom = binding.bottom(0)
    let top = binding.top(0)
    binding.backwardReads(tops: param.normalizeVariance ? [top] : [])
    binding.allowInPlace(bottom, top)
    return Run(
      binding.engine, bottom, top, rows: rows, epsilon: param.normalizeVariance ? param.eps : nil,
      factors: binding.workspace(rows * MemoryLayout<Float>.stride))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let rows: Int
    private let width: Int
    /// Nil when the variance stays.
    private let epsilon: Float?
    /// 1 / (deviation + eps) of each row.
    private let factors: Region

    init(_ engine: any Engine, _ bottom: Blob, _ top: Blob, rows: Int, epsilon: Float?, factors: Region) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.rows = rows
      self.epsilon = epsilon
      self.factors = factors
      width = bottom.count / max(1, rows)
    }

    func forward() {
      let factors = factors.pointer.assumingMemoryBound(to: Float.self)
      engine.parallel(rows, grain: max(1, 4096 / max(1, width))) { from, to in
        for row in from..<to {
          let x = bottom.values + row * width
          let y = top.values + row * width
          let mean = Float(engine.vectors.sum(width, x) / Double(max(1, width)))
          for i in 0..<width { y[i] = x[i] - mean }
          guard let epsilon else { continue }
          let variance = engine.vectors.dot(width, y, y) / Double(max(1, width))
          let factor = 1 / (Float(variance).squareRoot() + epsilon)
          factors[row] = factor
          for i in 0..<width { y[i] *= factor }
        }
      }
    }

    /// With averages over the row: dx = dy - mean(dy), and with variance (dy - mean(dy) - y mean(dy y)) times its factor.
    func backward() {
      let factors = factors.pointer.assumingMemoryBound(to: Float.self)
      engine.parallel(rows, grain: max(1, 4096 / max(1, width))) { from, to in
        for row in from..<to {
          let y = top.values + row * width
          let dy = top.gradients + row * width
          let dx = bottom.gradients + row * width
          let mean = Float(engine.vectors.sum(width, dy) / Double(max(1, width)))
          if epsilon == nil {
            for i in 0..<width { dx[i] = dy[i] - mean }
          } else {
            let slope = Float(engine.vectors.dot(width, dy, y) / Double(max(1, width)))
            for i in 0..<width { dx[i] = factors[row] * (dy[i] - mean - slope * y[i]) }
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("planes", "", [2, 3, 4, 5]),
    example("records", "across_channels: true", [2, 3, 3, 2]),
    example("mean only, in place", "normalize_variance: false", [2, 3, 4, 2], top: "in0"),
    example("rows", "across_channels: true", [3, 8]),
  ]

  private static func example(_ name: String, _ param: String, _ shape: Shape, top: String = "m") -> LayerExample {
    LayerExample(
      name, inputs: [.normal(shape)],
      #"layer { name: "m" type: "MVN" bottom: "in0" top: "\#(top)" mvn_param { \#(param) } }"#)
  }
}
