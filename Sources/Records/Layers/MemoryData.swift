import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Gives the records that the program which holds the net feeds, with `Net.feed(records:shape:labels:toLayer:)`.
///
/// Tops: the records, batch_size x channels x height x width after `transform_param`; optionally their labels,
/// batch_size. Fed records are given batch by batch and round again, until others are fed.
package struct MemoryData: Layer {
  package static let type = "MemoryData"
  package static let parameterFields: [String]? = ["memory_data_param", "transform_param"]
  package static let role = LayerRole.data
  package static let bottomCount = 0...0
  package static let topCount = 1...2
  package static let examples: [LayerExample] = []

  private let fields: LayerFields
  /// batch_size, channels, height, width.
  private let top: Shape

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.memoryDataParam
    self.fields = fields
    for (name, value) in [
      ("batch_size", param.batchSize), ("channels", param.channels), ("height", param.height), ("width", param.width),
    ] where value == 0 {
      throw fields.fault("\(name) must be at least 1", at: "memory_data_param.\(name)")
    }
    top = Shape([param.batchSize, param.channels, param.height, param.width].map(Int.init))
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    LayerShapes(
      tops: fields.parameter.top.count > 1 ? [top, [top[0]]] : [top], warnings: fields.idleConstraint)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let param = fields.parameter.memoryDataParam
    try fields.refuse(
      param.hasLabelType || param.hasLabelChannels || param.hasLabelHeight || param.hasLabelWidth,
      "memory_data_param.label_type", "each record has one label")
    try fields.refuseForeignTransforms()
    try fields.refusePoints()
    let transform = fields.parameter.transformParam
    for (isGiven, name) in [
      (!transform.resizeParam.isEmpty, "resize_param"), (transform.hasDistortParam, "distort_param"),
      (!transform.noiseParam.isEmpty, "noise_param"),
      (transform.hasExpandParam, "expand_param"), (transform.forceColor, "force_color"),
      (transform.forceGray, "force_gray"),
    ] {
      try fields.refuse(isGiven, "transform_param.\(name)", "records are fed as numbers, not as pictures")
    }
    return MemoryDataRun(binding)
  }
}

/// A MemoryData layer that runs.
final class MemoryDataRun: LayerRun {
  private struct Fed {
    let transform: Transform
    let shape: Shape
    let records: [Float]
    let labels: [Float]
    /// The pass that they begin with.
    let pass: Int
  }

  private let fields: LayerFields
  private let tops: [Blob]
  private let draws: LayerDraws
  private var fed: Fed?

  init(_ binding: LayerBinding) {
    fields = binding.fields
    tops = binding.topShapes.indices.map { binding.top($0) }
    draws = binding.draws
  }

  func feed(records: [Float], shape: Shape, labels: [Float]) throws {
    let batchSize = tops[0].shape[0]
    func fault(_ message: String) -> Diagnostic { fields.fault(.badShape, message, at: "memory_data_param") }
    guard shape.rank == 4, shape.count == records.count else {
      throw fault("was fed \(records.count) values as \(shape); N x C x H x W is wanted")
    }
    guard shape[0] > 0, shape[0].isMultiple(of: batchSize) else {
      throw fault("was fed \(shape[0]) records, which is no multiple of batch_size \(batchSize)")
    }
    guard labels.count == shape[0] || (labels.isEmpty && tops.count == 1) else {
      throw fault("was fed \(labels.count) labels for \(shape[0]) records")
    }
    let transform = try Transform(fields, record: Shape(Array(shape.dims.dropFirst())))
    guard transform.output.dims == Array(tops[0].shape.dims.dropFirst()) else {
      throw fault(
        "was fed records that become \(transform.output), not \(Shape(Array(tops[0].shape.dims.dropFirst())))")
    }
    fed = Fed(transform: transform, shape: shape, records: records, labels: labels, pass: draws.pass)
  }

  func forward() throws {
    guard let fed else {
      throw fields.fault(
        .badState,
        "has nothing to give: its records come from the program that holds the net; in a prototxt that is run from the "
          + "command line, use an HDF5Data, ImageData or Data layer instead", at: "memory_data_param")
    }
    let (batchSize, size) = (tops[0].shape[0], fed.shape.count / fed.shape[0])
    let batches = fed.shape[0] / batchSize
    // A pass before the feeding (a run that was set back) counts from the end.
    let first = (((draws.pass - fed.pass) % batches + batches) % batches) * batchSize
    let record = Shape(Array(fed.shape.dims.dropFirst()))
    fed.records.withUnsafeBufferPointer { records in
      guard let base = records.baseAddress else { return }
      for item in 0..<batchSize {
        let stream = RandomStream(seed: draws.seed, draws.layer, UInt64(draws.pass * batchSize + item))
        fed.transform.apply(
          base + (first + item) * size, record, .planes(record), draws: stream,
          into: tops[0].values + item * fed.transform.output.count
        ) { $0 }
      }
    }
    if tops.count > 1 { for item in 0..<batchSize { tops[1].values[item] = fed.labels[first + item] } }
  }
}

extension Net {
  /// Gives a MemoryData layer the records of its next passes: it begins with the first batch of them and goes round.
  ///
  /// - Parameters:
  ///   - shape: N x C x H x W of `records`, before `transform_param`; N is a multiple of batch_size.
  ///   - labels: one for each record; may be left out for a layer with one top.
  /// - Throws: `badParameter` when there is no such layer, `badShape` when the records do not fit it.
  package func feed(records: [Float], shape: Shape, labels: [Float] = [], toLayer name: String) throws {
    guard let index = graph.nodes.firstIndex(where: { $0.fields.name == name }),
      let run = run(ofLayer: index) as? MemoryDataRun
    else { throw Diagnostic(.badParameter, "the net has no MemoryData layer '\(name)' to feed") }
    try run.feed(records: records, shape: shape, labels: labels)
  }
}
