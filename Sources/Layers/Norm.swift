import Compute
import Nets
import Tensors

/// Each position divided by its length over the channels: top = x / (|x| + 1e-6) (Wang, Gupta, ICCV 2015, and other forks
/// for ranking).
package struct Norm: Layer {
  package static let type = "Norm"
  package static let parameterFields: [String]? = []
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank >= 2 else {
      throw fields.fault(.badShape, "needs an axis of channels behind the batch, but the bottom is \(bottoms[0])")
    }
    return LayerShapes(tops: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let (bottom, top) = (binding.bottom(0), binding.top(0))
    binding.backwardReads(tops: [top])
    binding.allowInPlace(bottom, top)
    let positions = bottom.shape[0] * bottom.shape.count(2...)
    return Run(bottom, top, lengths: binding.workspace(positions * MemoryLayout<Float>.stride))
  }

  private final class Run: LayerRun {
    private static let epsilon: Float = 1e-6
    private let bottom: Blob
    private let top: Blob
    /// |x| of each position.
    private let lengths: Region
    private let channels: Int
    private let inner: Int

    init(_ bottom: Blob, _ top: Blob, lengths: Region) {
      self.bottom = bottom
      self.top = top
      self.lengths = lengths
      channels = bottom.shape[1]
      inner = bottom.shape.count(2...)
    }

    private var length: UnsafeMutablePointer<Float> { lengths.pointer.assumingMemoryBound(to: Float.self) }

    func forward() {
      for position in 0..<(bottom.shape[0] * inner) {
        let start = position / inner * channels * inner + position % inner
        var square: Float = 0
        for c in 0..<channels { square += bottom.values[start + c * inner] * bottom.values[start + c * inner] }
        length[position] = square.squareRoot()
        let factor = 1 / (length[position] + Run.epsilon)
        for c in 0..<channels { top.values[start + c * inner] = bottom.values[start + c * inner] * factor }
      }
    }

    /// With l = |x| and y = x / (l + e): (dy - y (y . dy) (l + e) / l) / (l + e); 0 has no direction.
    func backward() {
      let dy = top.gradients
      for position in 0..<(bottom.shape[0] * inner) {
        let start = position / inner * channels * inner + position % inner
        var along: Float = 0
        for c in 0..<channels { along += top.values[start + c * inner] * dy[start + c * inner] }
        let whole = length[position] + Run.epsilon
        let share = length[position] > 0 ? along * whole / length[position] : 0
        for c in 0..<channels {
          let at = start + c * inner
          bottom.gradients[at] = (dy[at] - top.values[at] * share) / whole
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "planes", inputs: [.normal([2, 3, 2, 2])], #"layer { name: "n" type: "Norm" bottom: "in0" top: "n" }"#),
    LayerExample("in place", inputs: [.normal([4, 5])], #"layer { name: "n" type: "Norm" bottom: "in0" top: "in0" }"#),
  ]
}
