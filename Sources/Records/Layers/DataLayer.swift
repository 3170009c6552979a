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
/// number of records alone, so that databases that belong together stay in step. With `sampler` the records of each batch
/// are drawn by their identities, as pairs or as groups (see docs/data.md). Crops and mirrors are drawn alike by the layers
/// of a net; `points` in the `transform_param` of label vectors makes landmarks, and labels that tell left from right,
/// follow them. Batches are prepared in the background; which records a pass sees depends on nothing but its number.
///
/// `mixed` names further databases, of other records: the sequence then takes from each IN_PROPORTION to its size, IN_TURN
/// or BY_WEIGHT, and each goes round on its own; in TEST always in proportion, so that a round holds each record once.
/// Records of all must have one shape, but vectors may be of different labels: each database's begin at its `channel`
/// of the top, and the rest of them is NaN, not labelled.
package struct DataLayer: RecordReading, AbsentSourceLayer, RefusedLayer {
  package static let type = "Data"
  package static let parameterFields: [String]? = ["data_param", "transform_param"]
  package static let role = LayerRole.data
  package static let bottomCount = 0...0
  package static let topCount = 1...Int.max
  package static let examples: [LayerExample] = []

  private let fields: LayerFields
  private let sources: [RecordSource]
  private let sampling: IdentitySampling?

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.dataParam
    self.fields = fields
    guard param.batchSize > 0 else { throw fields.fault("batch_size must be at least 1", at: "data_param.batch_size") }
    let channels = try ImageChannels(fields)
    sources = ([param.source] + param.mixed.map(\.source)).map {
      RecordSource(path: fields.existingPath($0), channels: channels)
    }
    sampling = try IdentitySampling(
      fields, param.hasSampler ? param.sampler : nil, in: "data_param", batchSize: Int(param.batchSize))
    try checkMixture()
    guard sampling != nil else { return }
    let drawn = "a sampler draws the records at random"
    try fields.refuse(param.shuffle, "data_param.shuffle", drawn)
    try fields.refuse(param.randSkip > 0, "data_param.rand_skip", drawn)
    try fields.refuse(!param.mixed.isEmpty, "data_param.mixed[0]", "a sampler draws from one database")
  }

  private func checkMixture() throws {
    let param = fields.parameter.dataParam
    for (index, mixed) in param.mixed.enumerated() {
      let place = "data_param.mixed[\(index)]"
      guard !mixed.source.isEmpty else {
        throw fields.fault("source is missing; give the path of the database", at: place)
      }
      guard mixed.weight > 0, mixed.weight.isFinite else {
        throw fields.fault("weight must be above 0", at: place + ".weight")
      }
    }
    guard param.sourceWeight > 0, param.sourceWeight.isFinite else {
      throw fields.fault("source_weight must be above 0", at: "data_param.source_weight")
    }
    let weight =
      param.hasSourceWeight
      ? "source_weight" : param.mixed.firstIndex(where: \.hasWeight).map { "mixed[\($0)].weight" }
    if let weight, param.mixing != .byWeight {
      throw fields.fault("weights of databases go with mixing: BY_WEIGHT", at: "data_param." + weight)
    }
    guard !param.hasMixing || !param.mixed.isEmpty else {
      throw fields.fault("mixing takes several databases; name the others in mixed", at: "data_param.mixing")
    }
  }

  /// The databases that it reads, `source` first.
  ///
  /// - Throws: `badDatabase`, at the field that names it.
  package func databases() throws -> [any RecordDatabase] {
    try sources.indices.map { index in try at(index) { try sources[index].database() } }
  }

  /// The channel of the top at which each database's vectors begin.
  package var firstChannels: [Int] { [0] + fields.parameter.dataParam.mixed.map { Int($0.channel) } }

  package var identity: Diagnostic.Layer { fields.identity }
  package var location: SourceLocation? { fields.location("data_param.source") }
  package var batchSize: Int { Int(fields.parameter.dataParam.batchSize) }
  package func recordCount() throws -> Int {
    try sampler()?.recordsPerRound ?? databases().reduce(0) { $0 + $1.count }
  }
  package static func setBatchSize(_ size: Int, in parameter: inout LayerParameter) {
    parameter.dataParam.batchSize = UInt32(size)
  }

  /// Where its records are drawn from, when they are.
  package var samplingText: String? {
    sampling.map {
      $0.text(labels: fields.existingPath($0.param.hasLabels ? $0.param.labels : fields.parameter.dataParam.source))
    }
  }

  private func sampler() throws -> IdentitySampler? {
    try sampling?.sampler {
      let param = fields.parameter.dataParam
      let labels =
        param.sampler.hasLabels
        ? RecordSource(path: fields.existingPath(param.sampler.labels), channels: .asStored) : sources[0]
      let count = try databases()[0].count
      let identities = try labels.identities(
        index: param.sampler.hasLabelIndex ? Int(param.sampler.labelIndex) : nil,
        areSingle: !param.sampler.hasLabels && fields.parameter.top.count > 1)
      guard identities.count == count else {
        throw Diagnostic(
          .outOfStep,
          "'\(labels.path)' holds the labels of \(identities.count) records, but '\(sources[0].path)' has \(count)")
      }
      return identities
    }
  }

  /// Faults of a database are told at the field that names it.
  private func at<Result>(_ index: Int, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let fault as Diagnostic {
      let field = index == 0 ? "data_param.source" : "data_param.mixed[\(index - 1)].source"
      throw fault.within(layer: fields.identity, at: fields.location(field))
    }
  }

  /// The preparation of each database's records, and the shape of all in the top.
  private func preparations() throws -> (each: [Preparation], top: Shape) {
    let each = try sources.indices.map { index in
      try at(index) { try Preparation(preparedFields, record: sources[index].firstShape()) }
    }
    return (each, try topShape(each.map(\.output)))
  }

  private func topShape(_ shapes: [Shape]) throws -> Shape {
    let first = shapes[0]
    let areVectors = shapes.allSatisfy { $0.rank == 3 && $0[1] == 1 && $0[2] == 1 }
    let mixed = fields.parameter.dataParam.mixed
    if areVectors, mixed.contains(where: \.hasChannel) {
      return [zip(shapes, firstChannels).map { $0[0] + $1 }.max() ?? first[0], 1, 1]
    }
    if let index = mixed.firstIndex(where: \.hasChannel) {
      throw fields.fault(
        "channel is for vectors of labels, and the records are \(first)", at: "data_param.mixed[\(index)].channel")
    }
    if let other = shapes.firstIndex(where: { $0 != first }) {
      let advice = areVectors ? "; say by channel where the labels of each begin" : ""
      throw fields.fault(
        .badShape,
        "the records of '\(sources[other].path)' are \(shapes[other]), but those of '\(sources[0].path)' are \(first)"
          + advice, at: "data_param.mixed[\(other - 1)].source")
    }
    return first
  }

  /// Labels that move are not cut and mirrored themselves.
  private var preparedFields: LayerFields {
    fields.parameter.transformParam.hasPoints ? fields.withoutTransform : fields
  }

  /// - Throws: a fault of the layer for `points` that cannot be followed.
  func motion() throws -> LabelMotion? {
    guard fields.parameter.transformParam.hasPoints else { return nil }
    let record = try topShape(sources.indices.map { index in try at(index) { try sources[index].firstShape() } })
    guard record[1] == 1, record[2] == 1 else {
      throw fields.fault(
        .badShape, "points are for records of labels, C x 1 x 1, but the first one is \(record)",
        at: "transform_param.points")
    }
    return try LabelMotion(fields, labels: record[0], seesPictures: false)
  }

  /// A fault when these labels move otherwise than the pictures of every layer beside it.
  func checkMotion(beside others: [DataLayer]) throws {
    guard let framing = try motion()?.framing else { return }
    let pictures = others.filter { !$0.fields.parameter.transformParam.hasPoints }
    let frames = try pictures.map { try Framing($0.fields) }
    guard let first = frames.first, !frames.contains(where: framing.isLike) else { return }
    throw fields.fault(
      "moves its points with \(framing), but layer '\(pictures[0].identity.name)' has \(first); give both the same",
      at: "transform_param.points")
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard !fields.parameter.dataParam.source.isEmpty else {
      throw fields.fault("source is missing; give the path of the database", at: "data_param")
    }
    let output = try topShape(
      sources.indices.map { index in
        try at(index) { try Preparation.output(preparedFields, record: sources[index].firstShape()) }
      })
    _ = try motion()
    let labels = fields.parameter.top.dropFirst().map { _ in [batchSize] as Shape }
    var warnings = fields.idleConstraint + fields.idleDataFields
    if let sampling, let sampler = try sampler() { warnings += sampling.warnings(sampler) }
    return LayerShapes(tops: [Shape([batchSize] + output.dims)] + labels, warnings: warnings)
  }

  package func outlinesWithoutSource(bottoms: [Shape]) -> [TopOutline]? {
    guard fields.parameter.dataParam.source.isEmpty || !sources.allSatisfy({ exists($0.path) }) else { return nil }
    var records = preparedFields.outlineOfImages(batch: batchSize)
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
    let counts = try databases().map(\.count)
    var orders = counts.map {
      RecordOrder(
        count: $0, skip: param.randSkip, isShuffled: param.shuffle || param.shufflePoolSize > 1, seed: seed)
    }
    orders[0].sampler = try sampler()
    let mixture = RecordMixture(fields.phase == .test ? .inProportion : param.mixing, counts: counts, weights: weights)
    let (preparations, top) = try preparations()
    let motion = try motion()
    return try PrefetchedRecordRun(
      binding, source: ([param.source] + param.mixed.map(\.source)).joined(separator: "', '"),
      recordCount: orders.reduce(0) { $0 + $1.roundCount }, batchSize: batchSize, depth: Int(param.prefetch)
    ) { [fields, sources, orders, firstChannels, batchSize] in
      let parts = sources.indices.map { index in
        BatchReader.Part(
          sequence: RecordSequence(sources[index], orders[index]), preparation: preparations[index],
          offset: firstChannels[index])
      }
      return BatchReader(
        parts, mixture, motion: motion, recordSize: top.count, batchSize: batchSize,
        readsLabels: fields.parameter.top.count > 1, draws: seed)
    }
  }

  private var weights: [Float] {
    let param = fields.parameter.dataParam
    return [param.sourceWeight] + param.mixed.map(\.weight)
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
