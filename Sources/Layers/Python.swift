import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// A layer written in Python. There is no interpreter here, and what the class would make is unknown, so it is refused
/// with its module and class and what could take its place.
package struct Python: Layer {
  package static let type = "Python"
  package static let bottomCount = 0...Int.max
  package static let topCount = 0...Int.max
  package static let examples: [LayerExample] = []

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.pythonParam
    throw fields.fault(
      .unsupported,
      "class '\(param.layer)' of Python module '\(param.module)' cannot run, since there is no Python interpreter here; "
        + Python.replacement(param, fields.parameter),
      at: "python_param")
  }

  private static func replacement(_ param: PythonParameter, _ layer: LayerParameter) -> String {
    let name = (param.module + "." + param.layer).lowercased()
    if layer.bottom.isEmpty || name.contains("data") {
      return "feed its tops from a Data, HDF5Data or ImageData layer"
    }
    if name.contains("loss") {
      return "use a native loss, such as SoftmaxWithLoss, SigmoidCrossEntropyLoss, EuclideanLoss or SmoothL1Loss"
    }
    if name.contains("accuracy") || layer.top.isEmpty {
      return "use an Accuracy layer, or read the blobs after testing"
    }
    return "build it from native layers, such as Eltwise, Scale, Power, Slice and Reshape"
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { LayerShapes(tops: []) }
  package func bind(_ binding: LayerBinding) throws -> any LayerRun { ViewRun() }
}
