import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// The mean over the labelled records of -ln(probability of the labelled class), for probabilities that the net makes
/// itself; SoftmaxWithLoss is the steadier way from scores.
///
/// Bottoms: probabilities N x C (further axes are joined to C), labels N. Probabilities below 1e-20 count as 1e-20.
/// Records whose label is NaN count for nothing.
package struct MultinomialLogisticLoss: Layer {
  package static let type = "MultinomialLogisticLoss"
  package static let parameterFields: [String]? = []
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  private func labels(_ bottoms: [Shape]) throws -> ClassLabels { try ClassLabels(fields, ofRecords: bottoms) }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    _ = try labels(bottoms)
    return LayerShapes(tops: [.scalar])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .counted : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottoms = [binding.bottom(0), binding.bottom(1)]
    binding.backwardReads(bottoms: bottoms)
    return Run(try labels(binding.bottomShapes).of(bottoms[0]), bottoms[0], bottoms[1], binding.top(0))
  }

  private final class Run: LossRun {
    private let labels: ClassLabels
    private let probabilities: Blob
    private let targets: Blob
    private let loss: Blob
    private(set) var labelledCount = 0

    init(_ labels: ClassLabels, _ probabilities: Blob, _ targets: Blob, _ loss: Blob) {
      self.labels = labels
      self.probabilities = probabilities
      self.targets = targets
      self.loss = loss
    }

    func forward() throws {
      labelledCount = 0
      var sum = 0.0
      for n in 0..<labels.outer {
        guard let label = try labels.label(targets.values, n) else { continue }
        labelledCount += 1
        sum -= Double(logf(ClassLabels.bounded(probabilities.values[n * labels.classes + label])))
      }
      loss.values[0] = Float(sum / Double(max(1, labelledCount)))
    }

    func backward() throws {
      let factor = -loss.gradients[0] / Float(max(1, labelledCount))
      let dp = probabilities.gradients
      dp.update(repeating: 0, count: probabilities.count)
      for n in 0..<labels.outer {
        guard let label = try labels.label(targets.values, n) else { continue }
        let at = n * labels.classes + label
        dp[at] = factor / ClassLabels.bounded(probabilities.values[at])
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "probabilities", inputs: [.uniform([4, 5], 0.2...1), .labels([4], classes: 5)],
      #"layer { name: "loss" type: "MultinomialLogisticLoss" bottom: "in0" bottom: "in1" top: "loss" }"#)
  ]
}

extension ClassLabels {
  /// A probability whose logarithm is finite. NaN goes on as NaN.
  @inline(__always)
  static func bounded(_ probability: Float) -> Float { probability < 1e-20 ? 1e-20 : probability }
}
