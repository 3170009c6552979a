import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// A table of learned rows, looked up by index: top[…, :] = weights[index, :] + bias.
///
/// Bottom: indices in 0 ..< `input_dim`, of any shape; top: that shape with an axis of `num_output` behind. Weights
/// input_dim x num_output, bias num_output. The indices take no gradient.
package struct Embed: Layer {
  package static let type = "Embed"
  package static let parameterFields: [String]? = ["embed_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: EmbedParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.embedParam
    guard param.numOutput > 0 else { throw fields.fault("num_output must be at least 1", at: "embed_param.num_output") }
    guard param.inputDim > 0 else {
      throw fields.fault("input_dim, the number of rows, must be at least 1", at: "embed_param.input_dim")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let (rows, width) = (Int(param.inputDim), Int(param.numOutput))
    var parameters = [ParameterDefinition(name: "weights", shape: [rows, width], filler: param.weightFiller)]
    if param.biasTerm { parameters.append(.init(name: "bias", shape: [width], filler: param.biasFiller)) }
    return LayerShapes(tops: [Shape(bottoms[0].dims + [width])], parameters: parameters)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { .all }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    binding.backwardReads(bottoms: [bottom])
    return Run(
      bottom, binding.top(0), binding.parameters, learns: binding.learns,
      RowIndices(fields, bottom: 0, count: Int(param.inputDim)))
  }

  private final class Run: LayerRun {
    private let bottom: Blob
    private let top: Blob
    private let weights: Parameter
    private let bias: Parameter?
    private let learns: [Bool]
    private let rows: RowIndices
    private let width: Int

    init(_ bottom: Blob, _ top: Blob, _ parameters: [Parameter], learns: [Bool], _ rows: RowIndices) {
      self.bottom = bottom
      self.top = top
      self.learns = learns
      self.rows = rows
      weights = parameters[0]
      bias = parameters.count > 1 ? parameters[1] : nil
      width = weights.shape[1]
    }

    func forward() throws {
      for i in 0..<bottom.count {
        let y = top.values + i * width
        y.update(from: weights.values + (try rows.index(bottom.values, i)) * width, count: width)
        if let b = bias?.values { for j in 0..<width { y[j] += b[j] } }
      }
    }

    func backward() throws {
      let dy = top.gradients
      if learns[0] {
        try weights.accumulate { sums, isFirst in
          if isFirst { sums.update(repeating: 0, count: weights.count) }
          for i in 0..<bottom.count {
            let sum = sums + (try rows.index(bottom.values, i)) * width
            for j in 0..<width { sum[j] += dy[i * width + j] }
          }
        }
      }
      if let bias, learns[1] {
        bias.accumulate { sums, isFirst in
          if isFirst { sums.update(repeating: 0, count: width) }
          for i in 0..<bottom.count { for j in 0..<width { sums[j] += dy[i * width + j] } }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("with bias", "num_output: 4 input_dim: 6"),
    example("without bias", "num_output: 3 input_dim: 6 bias_term: false"),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.labels([5, 2], classes: 6)],
      """
      layer { name: "e" type: "Embed" bottom: "in0" top: "e" embed_param { \(param)
        weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 } } }
      """)
  }
}
