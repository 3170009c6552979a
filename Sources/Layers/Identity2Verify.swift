import Diagnostics
import Nets
import Tensors

/// Pairs neighbouring records for verification (DeepID2: Sun, Wang, Tang, NIPS 2014, and its forks of Caffe).
///
/// Bottoms: features N x …, N being even, and labels N x …. Tops: the features of records 0, 2, 4, … and of 1, 3, 5, …, N / 2
/// x … each, and whether the two labels of a pair are the same, 1 or 0, N / 2 x …. A pair with a NaN label gets NaN. The
/// labels take no gradient.
package struct Identity2Verify: Layer {
  package static let type = "Identity2Verify"
  package static let parameterFields: [String]? = []
  package static let bottomCount = 2...2
  package static let topCount = 3...3

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms.allSatisfy({ $0.rank > 0 && $0[0] == bottoms[0].extent(0) && $0[0] % 2 == 0 }) else {
      throw fields.fault(
        .badShape, "needs an even number of records and as many labels, but they are \(bottoms[0]) and \(bottoms[1])")
    }
    let halves = bottoms.map { Shape([$0[0] / 2] + $0.dims.dropFirst()) }
    return LayerShapes(tops: [halves[0], halves[0], halves[1]])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    binding.backwardReads()
    return Run(binding.bottom(0), binding.bottom(1), (0..<3).map { binding.top($0) })
  }

  private final class Run: LayerRun {
    private let features: Blob
    private let labels: Blob
    private let tops: [Blob]

    init(_ features: Blob, _ labels: Blob, _ tops: [Blob]) {
      self.features = features
      self.labels = labels
      self.tops = tops
    }

    func forward() {
      let width = features.shape.count(1...)
      for n in 0..<features.shape[0] {
        (tops[n % 2].values + n / 2 * width).update(from: features.values + n * width, count: width)
      }
      let labelWidth = labels.shape.count(1...)
      for i in 0..<tops[2].count {
        let at = i / labelWidth * 2 * labelWidth + i % labelWidth
        let difference = labels.values[at] - labels.values[at + labelWidth]
        tops[2].values[i] = difference.isNaN ? .nan : abs(difference) < 1 ? 1 : 0
      }
    }

    func backward() {
      let width = features.shape.count(1...)
      for n in 0..<features.shape[0] {
        let dx = features.gradients + n * width
        if tops[n % 2].hasGradient {
          dx.update(from: tops[n % 2].gradients + n / 2 * width, count: width)
        } else {
          dx.update(repeating: 0, count: width)
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "three pairs", inputs: [.normal([6, 3]), .labels([6], classes: 2)],
      #"layer { name: "i" type: "Identity2Verify" bottom: "in0" bottom: "in1" top: "a" top: "b" top: "same" }"#)
  ]
}
