import CaffeSchema
import Diagnostics

/// The layer types that a program knows, by the name in the prototxt.
package struct LayerCatalogue: Sendable {
  private let types: [String: any Layer.Type]
  private let shapeOnly: [String: ShapeOnlyType]

  /// - Parameter shapeOnly: types that are accepted in nets and cannot run.
  package init(_ layers: [any Layer.Type], shapeOnly: [ShapeOnlyType] = []) {
    types = Dictionary(layers.map { ($0.type, $0) }, uniquingKeysWith: { first, _ in first })
    self.shapeOnly = Dictionary(shapeOnly.map { ($0.type, $0) }, uniquingKeysWith: { first, _ in first })
    precondition(types.count == layers.count, "two layers have one type name")
  }

  package func knows(_ type: String) -> Bool { types[type] != nil || shapeOnly[type] != nil }

  /// Whether a type is unknown and no likely slip of the pen for a known one: a fork's.
  package func isForeign(_ type: String) -> Bool {
    !type.isEmpty && !knows(type) && !isSlip(type, among: types.keys)
  }

  package var allShapeOnly: [ShapeOnlyType] { shapeOnly.values.sorted { $0.type < $1.type } }

  package var all: [any Layer.Type] { types.values.sorted { $0.type < $1.type } }

  /// Decodes a layer.
  ///
  /// - Parameter hasGivenTops: whether the caller knows the shapes of its tops: then a type that is not known will do, and
  ///   one with fields that are not supported.
  /// - Throws: `unknownLayerType` with the nearest known type; whatever the layer's own `init` throws.
  package func define(_ fields: LayerFields, hasGivenTops: Bool = false) throws -> any Layer {
    guard fields.parameter.hasType, !fields.parameter.type.isEmpty else {
      throw Diagnostic(
        .unknownLayerType, "layer '\(fields.name)' has no type; add one, such as type: \"Convolution\"",
        at: fields.location())
    }
    if let type = types[fields.parameter.type] {
      do {
        try checkCounts(type.bottomCount, type.topCount, type.role, fields)
        return try type.init(fields)
      } catch let fault as Diagnostic where hasGivenTops && fault.code == .unsupported {
        return UnknownLayer(fields, fault, role: type.role)
      }
    }
    if let type = shapeOnly[fields.parameter.type] {
      do {
        try checkCounts(type.bottomCount, type.topCount, type.role, fields)
      } catch let fault as Diagnostic where hasGivenTops && fault.code == .unsupported {
        return UnknownLayer(fields, fault, role: type.role)
      }
      return ShapeOnlyLayer(type, fields)
    }
    let meant = nearestName(to: fields.parameter.type, among: types.keys).map { "; did you mean '\($0)'?" } ?? ""
    let fault = Diagnostic(
      .unknownLayerType, "layer '\(fields.name)': unknown layer type '\(fields.parameter.type)'\(meant)",
      at: fields.location("type"))
    guard hasGivenTops else { throw fault }
    return UnknownLayer(fields, fault)
  }

  private func checkCounts(
    _ bottoms: ClosedRange<Int>, _ tops: ClosedRange<Int>, _ role: LayerRole, _ fields: LayerFields
  ) throws {
    try checkCount(of: "bottom", fields.parameter.bottom.count, bottoms, fields)
    // A loss may leave its top out: it gets one without a name.
    try checkCount(of: "top", fields.parameter.top.count, role == .loss ? 0...tops.upperBound : tops, fields)
  }

  private func checkCount(of kind: String, _ count: Int, _ allowed: ClosedRange<Int>, _ fields: LayerFields) throws {
    guard !allowed.contains(count) else { return }
    let wanted =
      allowed.lowerBound == allowed.upperBound
      ? "\(allowed.lowerBound)"
      : allowed.upperBound == .max
        ? "at least \(allowed.lowerBound)" : "\(allowed.lowerBound) to \(allowed.upperBound)"
    let isFork =
      !LayerCatalogue.typesOfCaffe.contains(fields.parameter.type)
      || (kind == "bottom" && count <= LayerCatalogue.bottomsInForks[fields.parameter.type] ?? 0)
      || (kind == "top" && count <= LayerCatalogue.topsInForks[fields.parameter.type] ?? 0)
    throw fields.fault(
      isFork ? .unsupported : .badParameter,
      "takes \(wanted) \(kind)\(wanted == "1" ? "" : "s"), but \(count) \(count == 1 ? "is" : "are") given",
      at: count > 0 ? "\(kind)[0]" : "")
  }

  /// Bottoms that public forks give to types of Caffe beyond its own: weights of positions to losses and Accuracy, weights
  /// from another layer to InnerProduct.
  private static let bottomsInForks = [
    "Accuracy": 3, "EuclideanLoss": 3, "InnerProduct": 2, "SigmoidCrossEntropyLoss": 3,
    "SoftmaxWithLoss": 3,
  ]

  /// The same of tops: R-FCN's loss also gives the cost of each region.
  private static let topsInForks = ["SoftmaxWithLoss": 3]

  /// Of which bottoms and tops are the same everywhere; other types differ from fork to fork.
  private static let typesOfCaffe: Set<String> = [
    "AbsVal", "Accuracy", "ArgMax", "BNLL", "BatchNorm", "BatchReindex", "Bias", "Clip", "Concat", "ContrastiveLoss",
    "Convolution", "Crop", "Data", "Deconvolution", "Dropout", "DummyData", "ELU", "Eltwise", "Embed", "EuclideanLoss",
    "Exp", "Filter", "Flatten", "HDF5Data", "HDF5Output", "HingeLoss", "Im2col", "ImageData", "InfogainLoss",
    "InnerProduct", "Input", "LRN", "LSTM", "LSTMUnit", "Log", "MVN", "MemoryData", "MultinomialLogisticLoss", "PReLU",
    "Parameter", "Pooling", "Power", "RNN", "ReLU", "Reduction", "Reshape", "SPP", "Scale", "Sigmoid",
    "SigmoidCrossEntropyLoss", "Silence", "Slice", "Softmax", "SoftmaxWithLoss", "Split", "Swish", "TanH", "Threshold",
    "Tile", "WindowData",
  ]
}
