import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// A layer written in Python. There is no interpreter here; layers that public nets share are known by module and class.
///
/// - `proposal_layer.ProposalLayer` (py-faster-rcnn) runs natively: see `RegionProposals`.
/// - Of `AnchorTargetLayer`, `ProposalTargetLayer` and `RoIDataLayer` (py-faster-rcnn), `RoISelectLayer`, FCN's and
///   DetectNet's layers, and of losses and measures, the tops' shapes are known, so that the net can be looked at; running
///   them is refused.
/// - Any other is refused with its module and class and what could take its place. For a look at the net around it, its
///   tops are taken to be what such layers mostly make: data without bottoms, otherwise the shapes of the bottoms.
package struct Python: RefusedLayer, AbsentSourceLayer {
  package static let type = "Python"
  package static let parameterFields: [String]? = ["python_param"]
  package static let bottomCount = 0...Int.max
  package static let topCount = 0...Int.max

  private let fields: LayerFields
  private let layer: KnownLayer

  private enum KnownLayer: Sendable {
    case proposals(RegionProposals)
    case shapes(PythonShapes)
    case unknown
  }

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    if RegionProposals.isMeant(by: fields.parameter.pythonParam) {
      layer = .proposals(try RegionProposals(fields))
    } else if let shapes = PythonShapes(fields) {
      layer = .shapes(shapes)
    } else {
      layer = .unknown
    }
  }

  package var role: LayerRole {
    if fields.parameter.bottom.isEmpty { return .data }
    return fields.parameter.pythonParam.layer.lowercased().contains("loss") ? .loss : .transform
  }

  package var refusal: Diagnostic? {
    if case .proposals = layer { return nil }
    return Python.refusal(fields)
  }

  package func takesGradient(bottom index: Int) -> Bool {
    if case .proposals = layer { return false }
    return true
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    switch layer {
    case .proposals(let proposals): try proposals.shapes(of: bottoms)
    case .shapes(let shapes): LayerShapes(tops: try shapes.tops(bottoms))
    case .unknown: throw Python.refusal(fields)
    }
  }

  package func outlinesWithoutSource(bottoms: [Shape]) -> [TopOutline]? {
    if case .shapes(let shapes) = layer { return shapes.outlines() }
    guard case .unknown = layer else { return nil }
    return fields.parameter.top.indices.map { top in
      bottoms.first.map { .unknown.usually((top < bottoms.count ? bottoms[top] : $0).dims) } ?? .unknown
    }
  }

  /// What does not run may stand behind rows that vary.
  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    if case .proposals = layer { return nil }
    return .indifferent
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    guard case .proposals(let proposals) = layer else { throw Python.refusal(fields) }
    return try proposals.bind(binding)
  }

  private static func refusal(_ fields: LayerFields) -> Diagnostic {
    let param = fields.parameter.pythonParam
    return fields.fault(
      .unsupported,
      "class '\(param.layer)' of Python module '\(param.module)' cannot run, since there is no Python interpreter here; "
        + replacement(param, fields.parameter),
      at: "python_param")
  }

  private static func replacement(_ param: PythonParameter, _ layer: LayerParameter) -> String {
    let name = (param.module + "." + param.layer).lowercased()
    if name.contains("target") || name.contains("roidata") || name.contains("roiselect") {
      return "this program does not train detectors yet: train with py-faster-rcnn and test here"
    }
    if layer.bottom.isEmpty || name.contains("data") {
      return "feed its tops from a Data, HDF5Data or ImageData layer"
    }
    if name.contains("loss") {
      return "use a native loss, such as SoftmaxWithLoss, SigmoidCrossEntropyLoss, EuclideanLoss or SmoothL1Loss"
    }
    if name.contains("norm") {
      return "use a Normalize layer with normalize_param"
    }
    if name.contains("accuracy") || layer.top.isEmpty {
      return "use an Accuracy layer, or read the blobs after testing"
    }
    return "build it from native layers, such as Eltwise, Scale, Power, Slice and Reshape"
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "region proposals in testing",
      inputs: [.uniform([1, 18, 3, 4], 0...1), .normal([1, 36, 3, 4])],
      """
      layer { name: "h" type: "DummyData" top: "h" dummy_data_param { shape { dim: 1 dim: 2 } data_filler { value: 99 } } }
      layer { name: "s" type: "DummyData" top: "s" dummy_data_param { shape { dim: 1 dim: 1 } data_filler { value: 1 } } }
      layer { name: "info" type: "Concat" bottom: "h" bottom: "s" top: "info" }
      layer { name: "p" type: "Python" bottom: "in0" bottom: "in1" bottom: "info" top: "rois" top: "scores"
        python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "'feat_stride': 16" } }
      """, phase: .test, checksGradient: false)
  ]
}
