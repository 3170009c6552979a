import Compute
import Diagnostics
import Nets
import Tensors

/// Each position multiplied by one number for all channels: top[n, c, s] = x[n, c, s] f[n, s] (happynear's fork of Caffe).
///
/// Bottoms: x, N x C x (positions), and f, N x (positions). Both take a gradient.
package struct ChannelScale: Layer {
  package static let type = "ChannelScale"
  package static let parameterFields: [String]? = []
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank >= 2, bottoms[1].extent(0) == bottoms[0][0],
      bottoms[1].count * bottoms[0][1] == bottoms[0].count
    else {
      throw fields.fault(
        .badShape, "needs one factor for each position, but the bottoms are \(bottoms[0]) and \(bottoms[1])",
        at: "bottom[1]")
    }
    return LayerShapes(tops: [bottoms[0]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottoms = [binding.bottom(0), binding.bottom(1)]
    binding.backwardReads(bottoms: bottoms)
    return Run(binding.engine, bottoms[0], bottoms[1], binding.top(0))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let factors: Blob
    private let top: Blob
    private let channels: Int
    private let inner: Int

    init(_ engine: any Engine, _ bottom: Blob, _ factors: Blob, _ top: Blob) {
      self.engine = engine
      self.bottom = bottom
      self.factors = factors
      self.top = top
      channels = bottom.shape[1]
      inner = bottom.shape.count(2...)
    }

    func forward() {
      let f = factors.values
      for row in 0..<(bottom.shape[0] * channels) {
        engine.vectors.multiply(
          inner, bottom.values + row * inner, f + row / channels * inner, top.values + row * inner)
      }
    }

    func backward() {
      let dy = top.gradients
      if factors.hasGradient { factors.gradients.update(repeating: 0, count: factors.count) }
      for row in 0..<(bottom.shape[0] * channels) {
        let (start, position) = (row * inner, row / channels * inner)
        if factors.hasGradient {
          for i in 0..<inner { factors.gradients[position + i] += dy[start + i] * bottom.values[start + i] }
        }
        if bottom.hasGradient {
          engine.vectors.multiply(inner, dy + start, factors.values + position, bottom.gradients + start)
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "positions", inputs: [.normal([2, 3, 4]), .normal([2, 4])],
      #"layer { name: "s" type: "ChannelScale" bottom: "in0" bottom: "in1" top: "s" }"#),
    LayerExample(
      "one factor a record", inputs: [.normal([3, 4]), .normal([3, 1])],
      #"layer { name: "s" type: "ChannelScale" bottom: "in0" bottom: "in1" top: "s" }"#),
  ]
}
