import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// How far a map is from a wanted one, both taken as distributions: the sum over positions of q log(q / p), over N (the
/// divergence of Kullback and Leibler, for maps of where people look).
///
/// Bottoms: maps N x 1 x H x W and wanted maps of as many values; p and q are their absolute values over their sums. Each
/// denominator and logarithm has 1e-7 added. The first bottom takes a gradient: that of the formula, with the sum's share,
/// which the fork that has this layer leaves out. A record with a NaN in the wanted map is not labelled, and counts for
/// nothing.
package struct KLDivLoss: Layer {
  package static let type = "KLDivLoss"
  package static let parameterFields: [String]? = []
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private static let epsilon: Float = 1e-7

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].extent(0) == bottoms[1].extent(0), bottoms[0].count == bottoms[1].count else {
      throw fields.fault(.badShape, "the bottoms must have as many records and values: \(bottoms[0]) and \(bottoms[1])")
    }
    return LayerShapes(tops: [.scalar])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .counted : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottoms = [binding.bottom(0), binding.bottom(1)]
    binding.backwardReads(bottoms: bottoms)
    return Run(bottoms[0], bottoms[1], binding.top(0))
  }

  private final class Run: LossRun {
    private let map: Blob
    private let wanted: Blob
    private let loss: Blob
    private let width: Int
    private(set) var labelledCount = 0

    init(_ map: Blob, _ wanted: Blob, _ loss: Blob) {
      self.map = map
      self.wanted = wanted
      self.loss = loss
      width = map.count / max(1, map.shape.extent(0))
    }

    /// The sum of the absolute values of a record, and a little.
    private func sum(_ values: UnsafePointer<Float>) -> Float {
      var sum: Float = 0
      for i in 0..<width { sum += abs(values[i]) }
      return sum + KLDivLoss.epsilon
    }

    func forward() {
      labelledCount = 0
      var total = 0.0
      for record in 0..<map.liveShape.extent(0) {
        let (x, y) = (map.values + record * width, wanted.values + record * width)
        let (xSum, ySum) = (sum(x), sum(y))
        guard !ySum.isNaN else { continue }
        labelledCount += 1
        for i in 0..<width {
          let q = abs(y[i]) / ySum
          total += Double(q * logf(q / (abs(x[i]) / xSum + KLDivLoss.epsilon) + KLDivLoss.epsilon))
        }
      }
      loss.values[0] = Float(total) / Float(max(1, labelledCount))
    }

    func backward() {
      guard map.hasGradient else { return }
      let factor = loss.gradients[0] / Float(max(1, labelledCount))
      map.gradients.update(repeating: 0, count: map.count)
      for record in 0..<map.liveShape.extent(0) {
        let (x, y) = (map.values + record * width, wanted.values + record * width)
        let (xSum, ySum) = (sum(x), sum(y))
        guard !ySum.isNaN else { continue }
        let dx = map.gradients + record * width
        // dp first, and with it the sum over all of dp p.
        var shared: Float = 0
        for i in 0..<width {
          let (p, q) = (abs(x[i]) / xSum, abs(y[i]) / ySum)
          let ratio = q / (p + KLDivLoss.epsilon)
          dx[i] = -q * ratio / ((ratio + KLDivLoss.epsilon) * (p + KLDivLoss.epsilon))
          shared += dx[i] * p
        }
        for i in 0..<width { dx[i] = factor * (dx[i] - shared) / xSum * (x[i] < 0 ? -1 : 1) }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two maps", inputs: [.uniform([3, 1, 2, 3], 0.2...1), .uniform([3, 1, 2, 3], 0.1...1)],
      #"layer { name: "loss" type: "KLDivLoss" bottom: "in0" bottom: "in1" top: "loss" }"#),
    LayerExample(
      "values below 0", inputs: [.uniform([2, 4], -1 ... -0.2), .uniform([2, 4], 0.1...1)],
      #"layer { name: "loss" type: "KLDivLoss" bottom: "in0" bottom: "in1" top: "loss" }"#),
  ]
}
