import CaffeSchema
import Compute
import Nets
import Tensors

/// top = bottom + bias, the bias repeated over the axes that it does not have.
///
/// The bias covers `num_axes` axes of the bottom from `axis` on (-1: all to the end) and is a parameter, or the second
/// bottom, whose shape then says how many axes it covers.
package struct Bias: Layer {
  package static let type = "Bias"
  package static let parameterFields: [String]? = ["bias_param"]
  package static let bottomCount = 1...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: BiasParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.biasParam
  }

  private var isLearned: Bool { fields.parameter.bottom.count == 1 }

  private func repetition(_ bottoms: [Shape]) throws -> Repetition {
    try Repetition("bias", fields, bottoms: bottoms, axis: Int(param.axis), numAxes: Int(param.numAxes))
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bias = try repetition(bottoms).shape
    return LayerShapes(
      tops: [bottoms[0]], parameters: isLearned ? [.init(name: "bias", shape: bias, filler: param.filler)] : [])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? bottoms[0].canonicalAxis(Int(param.axis))).map { axis < $0 } == true
      ? RowwiseBlobs(bottoms: [0]) : bottoms.count == 2 && bottoms[1].rank > 0 ? .all : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let repetition = try repetition(binding.bottomShapes)
    let bottom = binding.bottom(0)
    let addend = isLearned ? nil : binding.bottom(1)
    let top = binding.top(0)
    binding.backwardReads()
    binding.allowInPlace(bottom, top)
    return Run(
      binding.engine, bottom, addend, top, binding.parameters.first, repetition,
      learns: binding.learns.contains(true))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let addend: Blob?
    private let top: Blob
    private let bias: Parameter?
    private let repetition: Repetition
    private let learns: Bool

    init(
      _ engine: any Engine, _ bottom: Blob, _ addend: Blob?, _ top: Blob, _ bias: Parameter?,
      _ repetition: Repetition, learns: Bool
    ) {
      self.engine = engine
      self.bottom = bottom
      self.addend = addend
      self.top = top
      self.bias = bias
      self.repetition = repetition
      self.learns = learns
    }

    func forward() {
      let x = bottom.values
      let y = top.values
      guard let b = bias?.values ?? addend?.values else { return }
      engine.parallel(repetition.outer * repetition.count, grain: repetition.rowGrain) { [repetition] from, to in
        let (count, inner) = (repetition.count, repetition.inner)
        for row in from..<to {
          let shift = b[row % count]
          for i in (row * inner)..<((row + 1) * inner) { y[i] = x[i] + shift }
        }
      }
    }

    func backward() {
      let dy = top.gradients
      if let bias, learns {
        bias.accumulate { sums, isFirst in
          repetition.addSums(engine, sums, overwrite: isFirst) { Double(dy[$0]) }
        }
      } else if let addend, addend.hasGradient {
        repetition.addSums(engine, addend.gradients, overwrite: true) { Double(dy[$0]) }
      }
      // The bottom's gradient comes last: it may lie where the top's does.
      if bottom.hasGradient { engine.vectors.axpby(bottom.count, 1, dy, 0, bottom.gradients) }
    }
  }

  package static let examples: [LayerExample] = [
    example("per channel", [.normal([2, 3, 4, 2])], #"filler { type: "gaussian" std: 1 }"#),
    example("two axes, in place", [.normal([2, 3, 4])], "axis: 0 num_axes: 2 filler { value: 2 }", top: "in0"),
    example("by a second bottom", [.normal([2, 3, 4]), .normal([3, 4])], ""),
    example("by one number", [.normal([2, 3])], "num_axes: 0 filler { value: 3 }"),
  ]

  private static func example(
    _ name: String, _ inputs: [LayerExample.Input], _ param: String, top: String = "b"
  ) -> LayerExample {
    let bottoms = inputs.indices.map { #"bottom: "in\#($0)""# }.joined(separator: " ")
    return LayerExample(
      name, inputs: inputs, #"layer { name: "b" type: "Bias" \#(bottoms) top: "\#(top)" bias_param { \#(param) } }"#)
  }
}
