import Compute
import Diagnostics
import Nets
import Tensors

/// top = factor * x + y, with a factor for each record and channel (SENet: Hu, Shen, Sun, CVPR 2018).
///
/// Bottoms: factors N x C (or N x C x 1 x 1), x and y N x C x (positions). All take a gradient.
package struct Axpy: Layer {
  package static let type = "Axpy"
  package static let parameterFields: [String]? = []
  package static let bottomCount = 3...3
  package static let topCount = 1...1

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let (factors, x) = (bottoms[0], bottoms[1])
    guard x == bottoms[2], x.rank >= 2, factors.rank >= 2, factors[0] == x[0], factors[1] == x[1],
      factors.count == x.count(..<2)
    else {
      throw fields.fault(
        .badShape,
        "needs a factor for each record and channel and two blobs of one shape: \(factors), \(x), \(bottoms[2])")
    }
    return LayerShapes(tops: [x])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottoms = (0..<3).map { binding.bottom($0) }
    binding.backwardReads(bottoms: [bottoms[0], bottoms[1]])
    return Run(binding.engine, bottoms, binding.top(0))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottoms: [Blob]
    private let top: Blob
    private let rows: Int
    private let width: Int

    init(_ engine: any Engine, _ bottoms: [Blob], _ top: Blob) {
      self.engine = engine
      self.bottoms = bottoms
      self.top = top
      rows = bottoms[0].count
      width = top.count / max(1, rows)
    }

    private var grain: Int { max(1, 4096 / max(1, width)) }

    func forward() {
      let (a, x, y, z) = (bottoms[0].values, bottoms[1].values, bottoms[2].values, top.values)
      engine.parallel(rows, grain: grain) { [width] from, to in
        for row in from..<to {
          for i in (row * width)..<((row + 1) * width) { z[i] = a[row] * x[i] + y[i] }
        }
      }
    }

    func backward() {
      let (a, x, dz) = (bottoms[0].values, bottoms[1].values, top.gradients)
      engine.parallel(rows, grain: grain) { [bottoms, width, engine] from, to in
        for row in from..<to {
          let start = row * width
          if bottoms[0].hasGradient {
            bottoms[0].gradients[row] = Float(engine.vectors.dot(width, dz + start, x + start))
          }
          if bottoms[1].hasGradient {
            let dx = bottoms[1].gradients
            for i in start..<(start + width) { dx[i] = a[row] * dz[i] }
          }
        }
      }
      if bottoms[2].hasGradient { bottoms[2].gradients.update(from: dz, count: top.count) }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "planes", inputs: [.normal([2, 3]), .normal([2, 3, 4, 2]), .normal([2, 3, 4, 2])],
      #"layer { name: "a" type: "Axpy" bottom: "in0" bottom: "in1" bottom: "in2" top: "a" }"#)
  ]
}
