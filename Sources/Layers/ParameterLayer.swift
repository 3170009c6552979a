import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// A learned blob as a top: the layer has no bottom, and its only parameter, of the given `shape`, is its top. Forks have
/// a `filler` (or `blob_filler`) for it; without one it starts with 0.
package struct ParameterLayer: Layer {
  package static let type = "Parameter"
  package static let parameterFields: [String]? = ["parameter_param"]
  package static let bottomCount = 0...0
  package static let topCount = 1...1

  private let shape: Shape
  private let filler: FillerParameter

  package init(_ fields: LayerFields) throws {
    let dims = fields.parameter.parameterParam.shape.dim
    if let bad = dims.first(where: { $0 < 0 || $0 > Int64(Int32.max) }) {
      throw fields.fault("a parameter cannot have extent \(bad)", at: "parameter_param.shape")
    }
    shape = Shape(dims.map(Int.init))
    let param = fields.parameter.parameterParam
    filler = param.hasBlobFiller ? param.blobFiller : param.filler
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    LayerShapes(tops: [shape], parameters: [.init(name: "values", shape: shape, filler: filler)])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    binding.backwardReads()
    return Run(binding.engine, binding.parameters[0], binding.top(0))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let parameter: Parameter
    private let top: Blob

    init(_ engine: any Engine, _ parameter: Parameter, _ top: Blob) {
      self.engine = engine
      self.parameter = parameter
      self.top = top
    }

    func forward() { top.values.update(from: parameter.values, count: top.count) }

    func backward() {
      parameter.accumulate { sums, isFirst in
        engine.vectors.axpby(top.count, 1, top.gradients, isFirst ? 0 : 1, sums)
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "a matrix", inputs: [],
      #"layer { name: "w" type: "Parameter" top: "w" parameter_param { shape { dim: 3 dim: 4 } filler { value: 2 } } }"#
    )
  ]
}
