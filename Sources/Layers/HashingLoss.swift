import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// The loss of deep supervised hashing (Liu, Wang, Shan, Chen, CVPR 2016, and its fork of Caffe): codes of like records
/// near each other, of unlike ones far, and all values near -1 or 1.
///
/// Bottoms: codes N x K, labels N x L. Records are alike when their label is the same (L = 1), or when they have one in
/// common, of labels 0 or 1 (L > 1). The loss is the sum over pairs of d^2 for like and max(`bi_margin` - d^2, 0) for unlike
/// ones, over N (N - 1), plus `tradeoff` / N times the sum of ||x| - 1|. As in the original, the pairs' gradient is half
/// that of the formula. A record with a NaN label counts for nothing.
package struct HashingLoss: Layer {
  package static let type = "HashingLoss"
  package static let parameterFields: [String]? = ["hashing_loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: HashingLossParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.hashingLossParam
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank >= 2, bottoms[1].rank >= 1, bottoms[1][0] == bottoms[0][0] else {
      throw fields.fault(.badShape, "needs codes N x K and labels N x L, but they are \(bottoms[0]) and \(bottoms[1])")
    }
    return LayerShapes(tops: [.scalar])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let (codes, labels) = (binding.bottom(0), binding.bottom(1))
    binding.backwardReads(bottoms: [codes, labels])
    return Run(binding.engine, codes, labels, binding.top(0), param)
  }

  private final class Run: LossRun {
    private let engine: any Engine
    private let codes: Blob
    private let labels: Blob
    private let loss: Blob
    private let margin: Float
    private let tradeoff: Float
    private let width: Int
    private let labelWidth: Int
    private(set) var labelledCount = 0

    init(_ engine: any Engine, _ codes: Blob, _ labels: Blob, _ loss: Blob, _ param: HashingLossParameter) {
      self.engine = engine
      self.codes = codes
      self.labels = labels
      self.loss = loss
      (margin, tradeoff) = (param.biMargin, param.tradeoff)
      width = codes.shape.count(1...)
      labelWidth = labels.shape.count(1...)
    }

    private var records: Int { codes.shape[0] }

    private func isLabelled(_ record: Int) -> Bool {
      (0..<labelWidth).allSatisfy { !labels.values[record * labelWidth + $0].isNaN }
    }

    private func areAlike(_ a: Int, _ b: Int) -> Bool {
      let (x, y) = (labels.values + a * labelWidth, labels.values + b * labelWidth)
      return labelWidth == 1 ? x[0] == y[0] : engine.vectors.dot(labelWidth, x, y) > 0
    }

    private func squaredDistance(_ a: Int, _ b: Int) -> Float {
      let (x, y) = (codes.values + a * width, codes.values + b * width)
      var sum: Float = 0
      for i in 0..<width { sum += (x[i] - y[i]) * (x[i] - y[i]) }
      return sum
    }

    private var pairs: Float { Float(max(1, labelledCount * (labelledCount - 1))) }

    func forward() {
      labelledCount = (0..<records).count { isLabelled($0) }
      var (distances, distanceToOne) = (0.0, 0.0)
      for a in 0..<records where isLabelled(a) {
        for b in (a + 1)..<max(a + 1, records) where isLabelled(b) {
          let square = squaredDistance(a, b)
          distances += Double(areAlike(a, b) ? square : margin - square > 0 ? margin - square : 0)
        }
        for i in 0..<width { distanceToOne += Double(abs(abs(codes.values[a * width + i]) - 1)) }
      }
      loss.values[0] =
        Float(distances) / pairs + tradeoff * Float(distanceToOne) / Float(max(1, labelledCount))
    }

    func backward() {
      let gradient = loss.gradients[0]
      let dx = codes.gradients
      dx.update(repeating: 0, count: codes.count)
      for a in 0..<records where isLabelled(a) {
        for b in (a + 1)..<max(a + 1, records) where isLabelled(b) {
          let alike = areAlike(a, b)
          guard alike || margin - squaredDistance(a, b) > 0 else { continue }
          let factor = (alike ? gradient : -gradient) / pairs
          for i in 0..<width {
            let part = factor * (codes.values[a * width + i] - codes.values[b * width + i])
            dx[a * width + i] += part
            dx[b * width + i] -= part
          }
        }
        let share = gradient * tradeoff / Float(max(1, labelledCount))
        for i in 0..<width {
          let x = codes.values[a * width + i]
          dx[a * width + i] += x >= 1 || (x <= 0 && x >= -1) ? share : -share
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    // The pairs' gradient is half of the true one.
    LayerExample(
      "one label", inputs: [.normal([5, 4]), .labels([5], classes: 3)],
      """
      layer { name: "loss" type: "HashingLoss" bottom: "in0" bottom: "in1" top: "loss"
        hashing_loss_param { bi_margin: 8 tradeoff: 0.1 } }
      """, checksGradient: false),
    LayerExample(
      "several labels", inputs: [.normal([5, 4]), .labels([5, 3], classes: 2)],
      #"layer { name: "loss" type: "HashingLoss" bottom: "in0" bottom: "in1" top: "loss" }"#, checksGradient: false),
  ]
}
