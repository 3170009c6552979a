import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// The one-against-all hinge loss: sum over the classes of max(0, 1 - s score) (or its square with `norm: L2`), s being
/// 1 for the labelled class and -1 for the others; the mean over the labelled records.
///
/// Bottoms: scores N x C (further axes are joined to C), labels N. Records whose label is NaN count for nothing.
package struct HingeLoss: Layer {
  package static let type = "HingeLoss"
  package static let parameterFields: [String]? = ["hinge_loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let norm: HingeLossParameter.Norm

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    norm = fields.parameter.hingeLossParam.norm
  }

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
    return Run(try labels(binding.bottomShapes).of(bottoms[0]), bottoms[0], bottoms[1], binding.top(0), norm)
  }

  private final class Run: LossRun {
    private let labels: ClassLabels
    private let scores: Blob
    private let targets: Blob
    private let loss: Blob
    private let norm: HingeLossParameter.Norm
    private(set) var labelledCount = 0

    init(
      _ labels: ClassLabels, _ scores: Blob, _ targets: Blob, _ loss: Blob, _ norm: HingeLossParameter.Norm
    ) {
      self.labels = labels
      self.scores = scores
      self.targets = targets
      self.loss = loss
      self.norm = norm
    }

    func forward() throws {
      labelledCount = 0
      var sum = 0.0
      for n in 0..<labels.outer {
        guard let label = try labels.label(targets.values, n) else { continue }
        labelledCount += 1
        let x = scores.values + n * labels.classes
        for c in 0..<labels.classes {
          let reach = 1 + (c == label ? -x[c] : x[c])
          let margin = reach < 0 ? 0 : Double(reach)
          sum += norm == .l1 ? margin : margin * margin
        }
      }
      loss.values[0] = Float(sum / Double(max(1, labelledCount)))
    }

    func backward() throws {
      let factor = loss.gradients[0] / Float(max(1, labelledCount))
      for n in 0..<labels.outer {
        let x = scores.values + n * labels.classes
        let dx = scores.gradients + n * labels.classes
        guard let label = try labels.label(targets.values, n) else {
          dx.update(repeating: 0, count: labels.classes)
          continue
        }
        for c in 0..<labels.classes {
          let sign: Float = c == label ? -1 : 1
          let margin = max(0, 1 + sign * x[c])
          dx[c] = factor * sign * (norm == .l1 ? (margin > 0 ? 1 : 0) : 2 * margin)
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("L1", ""), example("L2", "norm: L2"),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.distinct([4, 5]), .labels([4], classes: 5)],
      """
      layer { name: "loss" type: "HingeLoss" bottom: "in0" bottom: "in1" top: "loss" hinge_loss_param { \(param) } }
      """)
  }
}
