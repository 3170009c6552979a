import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Reads batches of records from a database.
///
/// Tops: the records, batch_size x C x H x W after `transform_param`; optionally their integer labels, batch_size. A
/// record is a Datum: pixels, an encoded image, or float values (label vectors are C x 1 x 1). The database is an LMDB or
/// a LevelDB: which one shows in its folder, so that `backend` need not be right. Batches follow one another in key
/// order and go round at the end; with `shuffle` each round has an order of its own, which depends on the seed and the
/// number of records alone, so that databases that belong together stay in step. Batches are prepared in the
/// background; which records a pass sees depends on nothing but its number.
package struct DataLayer: RecordReading, AbsentSourceLayer, RefusedLayer {
  package static let type = "Data"
  package static let parameterFields: [String]? = ["data_param", "transform_param"]
  package static let role = LayerRole.data
  package static let bottomCount = 0...0
  package static let topCount = 1...Int.max
  package static let examples: [LayerExample] = []

  private let fields: LayerFields
  private let source: RecordSource

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.dataParam
    self.fields = fields
    guard param.batchSize > 0 else { throw fields.fault("batch_size must be at least 1", at: "data_param.batch_size") }
    source = RecordSource(path: fields.existingPath(param.source), channels: try ImageChannels(fields))
  }

  /// The database that it reads.
  ///
  /// - Throws: `badDatabase`, at the field `source`.
  package func database() throws -> any RecordDatabase { try atSource { try source.database() } }

  package var identity: Diagnostic.Layer { fields.identity }
  package var location: SourceLocation? { fields.location("data_param.source") }
  package var batchSize: Int { Int(fields.parameter.dataParam.batchSize) }
  package func recordCount() throws -> Int { try database().count }
  package static func setBatchSize(_ size: Int, in parameter: inout LayerParameter) {
    parameter.dataParam.batchSize = UInt32(size)
  }

  private func atSource<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let fault as Diagnostic {
      throw fault.within(layer: fields.identity, at: fields.location("data_param.source"))
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard !fields.parameter.dataParam.source.isEmpty else {
      throw fields.fault("source is missing; give the path of the database", at: "data_param")
    }
    let output = try atSource { try Preparation.output(fields, record: source.firstShape()) }
    let labels = fields.parameter.top.dropFirst().map { _ in [batchSize] as Shape }
    return LayerShapes(
      tops: [Shape([batchSize] + output.dims)] + labels, warnings: fields.idleConstraint + fields.idleDataFields)
  }

  package func outlinesWithoutSource(bottoms: [Shape]) -> [TopOutline]? {
    guard fields.parameter.dataParam.source.isEmpty || !exists(source.path) else { return nil }
    var records = fields.outlineOfImages(batch: batchSize)
    // A database may hold vectors of labels just as well.
    records.isImages = records.extents?.dropFirst().contains { $0 != nil } == true
    // One fork's database has a label for each position, or several.
    let hasVectors = fields.parameter.dataParam.labelType == .multiple
    var labels = hasVectors ? TopOutline([batchSize, nil, nil, nil]) : .exactly([batchSize])
    labels.mayGrow = true
    return [records] + fields.parameter.top.dropFirst().map { _ in labels }
  }

  package var refusal: Diagnostic? {
    guard fields.parameter.top.count <= 2 else {
      return fields.fault(
        .unsupported,
        "a record has one label; for \(fields.parameter.top.count - 1), convert them with mtl convert-multilabel, and let a "
          + "second Data layer and a Slice layer read them", at: "top[2]")
    }
    return Records.refusal {
      try fields.refuseForeignDataFields()
      try fields.refuseForeignTransforms()
    }
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let param = fields.parameter.dataParam
    let seed = binding.draws.seed
    if let refusal { throw refusal }
    let order = RecordOrder(
      count: try database().count, skip: param.randSkip, isShuffled: param.shuffle || param.shufflePoolSize > 1,
      seed: seed)
    let preparation = try atSource { try Preparation(fields, record: source.firstShape()) }
    return try PrefetchedRecordRun(
      binding, source: param.source, recordCount: order.count, batchSize: batchSize, depth: Int(param.prefetch)
    ) { [fields, source, batchSize] in
      BatchReader(
        RecordSequence(source, order), preparation, batchSize: batchSize, readsLabels: fields.parameter.top.count > 1,
        draws: seed, layer: fields.name)
    }
  }
}

extension ImageChannels {
  /// Which channels `force_color`, `force_gray` and the older `force_encoded_color` ask for.
  ///
  /// - Throws: a fault of the layer when they contradict each other.
  init(_ fields: LayerFields) throws {
    let transform = fields.parameter.transformParam
    guard !(transform.forceColor && transform.forceGray) else {
      throw fields.fault("give either force_color or force_gray", at: "transform_param.force_gray")
    }
    let isColor = transform.forceColor || fields.parameter.dataParam.forceEncodedColor
    self = isColor ? .color : transform.forceGray ? .gray : .asStored
  }
}

extension LayerFields {
  /// Refuses the fields of `data_param` that single forks have and that change which records come.
  func refuseForeignDataFields() throws {
    let param = parameter.dataParam
    let given: [(Bool, String, String)] = [
      (param.hasBackend && param.backend == .imagedb, "backend", "convert the images to an LMDB or a list"),
      (param.enableRandomSelection, "enable_random_selection", "use shuffle: true"),
      (param.random, "random", "use shuffle: true"),
      (param.hasTransformParam, "transform_param", "write it as the layer's own transform_param"),
      (!param.side.isEmpty, "side", "labels are not drawn as grids"),
      (param.balanceMatches, "balance_matches", "records come as they are, not in pairs"),
      (param.imagesPerBlob > 1, "images_per_blob", "each record is one image"),
      (param.outputAllLabels, "output_all_labels", "the top of labels has one for each record"),
      (param.labelType == .multiple, "label_type", "keep several labels in a database of their own"),
      (param.hasMemDataSource, "mem_data_source", "records come from the database alone"),
      (param.mpiSkipStep > 0, "mpi_skip_step", "one process reads all records"),
    ]
    for (isGiven, name, reason) in given { try refuse(isGiven, "data_param.\(name)", reason) }
  }

  var idleDataFields: [Diagnostic] {
    idleField(
      parameter.dataParam.shufflePoolSize > 1, "data_param.shuffle_pool_size",
      "each round is shuffled as a whole, as with shuffle: true")
  }
}

/// Which record is at which place of the endless sequence that a data layer reads.
struct RecordOrder: Sendable {
  let count: Int
  let first: Int
  let isShuffled: Bool
  let seed: UInt64

  /// - Parameter skip: a number below it of records is passed over at the start: `rand_skip`. It is the same for every
  ///   layer of a net: sources that belong together skip and shuffle alike.
  init(count: Int, skip: UInt32, isShuffled: Bool, seed: UInt64) {
    self.count = count
    self.isShuffled = isShuffled
    self.seed = seed
    first = skip > 0 ? RandomStream(seed: seed, RandomStream.part("rand_skip")).integer(0, below: Int(skip)) : 0
  }

  /// The round that place `place` is in, and the record's position in the source.
  func epoch(of place: Int) -> Int { (first + place) / count }
  func position(of place: Int) -> Int { (first + place) % count }

  /// The order of a round.
  func permutation(epoch: Int) -> [Int] {
    RandomStream(seed: seed, RandomStream.part("shuffle"), UInt64(epoch)).permutation(count)
  }
}
