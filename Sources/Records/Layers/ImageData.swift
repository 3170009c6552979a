import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Reads batches of images that a list names.
///
/// `source` is a text file with a path and one or more labels on each line; `root_folder` is put before each path. A
/// label is a number, or `?` where it is missing (not a number in the blob). Tops: the images, batch_size x C x H x W,
/// resized to `new_height` x `new_width` and then changed as `transform_param` says; optionally the labels, batch_size,
/// or batch_size x labels where a line has several (Caffe reads only one, a whole number). Images are 3 channels (blue,
/// green, red), or 1 with `is_color: false`. `points` in `transform_param` makes landmarks among the labels follow the crop
/// and the mirror. Images come in the order of the list, or with `shuffle` in an order of each round's own, and go round at
/// the end. With `sampler` the images of each batch are drawn by their identities, as pairs or as groups (see
/// docs/data.md).
package struct ImageData: RecordReading, AbsentSourceLayer, RefusedLayer {
  package static let type = "ImageData"
  package static let parameterFields: [String]? = ["image_data_param", "transform_param"]
  package static let role = LayerRole.data
  package static let bottomCount = 0...0
  package static let topCount = 1...2
  package static let examples: [LayerExample] = []

  private let fields: LayerFields
  private let source: ImageListSource
  /// As the fields tell it; nil when the list does.
  private let labelCount: Int?
  private let sampling: IdentitySampling?

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.imageDataParam
    self.fields = fields
    guard param.batchSize > 0 else {
      throw fields.fault("batch_size must be at least 1", at: "image_data_param.batch_size")
    }
    guard (param.newHeight > 0) == (param.newWidth > 0) else {
      throw fields.fault(
        "give both new_height and new_width, or neither",
        at: "image_data_param.\(param.newHeight > 0 ? "new_height" : "new_width")")
    }
    labelCount = [param.labelNum, param.labelDim, param.labelSize].first { $0 > 1 }.map(Int.init)
    source = ImageListSource(
      path: fields.existingPath(param.source), root: param.rootFolder, labelCount: labelCount, search: fields.paths,
      channels: param.isColor ? .color : .gray,
      size: param.newHeight > 0 ? (Int(param.newHeight), Int(param.newWidth)) : nil)
    sampling = try IdentitySampling(
      fields, param.hasSampler ? param.sampler : nil, in: "image_data_param", batchSize: Int(param.batchSize))
    try fields.refuse(param.sampler.hasLabels, "image_data_param.sampler.labels", "the list has the labels")
    try fields.refuse(
      sampling != nil && param.shuffle, "image_data_param.shuffle", "a sampler draws the images at random")
    try fields.refuse(
      sampling != nil && param.randSkip > 0, "image_data_param.rand_skip", "a sampler draws the images at random")
  }

  package var batchSize: Int { Int(fields.parameter.imageDataParam.batchSize) }
  package func recordCount() throws -> Int {
    try sampler()?.recordsPerRound ?? atSource { try source.contents().list.entries.count }
  }
  package static func setBatchSize(_ size: Int, in parameter: inout LayerParameter) {
    parameter.imageDataParam.batchSize = UInt32(size)
  }

  private func atSource<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let fault as Diagnostic {
      throw fault.within(layer: fields.identity, at: fields.location("image_data_param.source"))
    }
  }

  private func sampler() throws -> IdentitySampler? {
    try sampling?.sampler {
      let list = try source.contents().list
      let index = Int(fields.parameter.imageDataParam.sampler.labelIndex)
      guard index < list.labelCount else {
        throw Diagnostic(
          .badList, "label_index is \(index), but the lines of '\(source.path)' have \(list.labelCount) labels")
      }
      return list.entries.map { list.labels(of: $0)[list.labels(of: $0).startIndex + index] }
    }
  }

  private func motion() throws -> LabelMotion? {
    try LabelMotion(fields, labels: source.contents().list.labelCount, seesPictures: true)
  }

  private func firstShape() throws -> Shape { try atSource { RecordValues(try source.image(at: 0)).shape } }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard !fields.parameter.imageDataParam.source.isEmpty else {
      throw fields.fault(
        "source is missing; give a text file with a path and labels on each line", at: "image_data_param")
    }
    let images = try Preparation.output(fields, record: firstShape())
    let labels = try source.contents().list.labelCount
    _ = try motion()
    let tops = [Shape([batchSize] + images.dims), labels == 1 ? [batchSize] : [batchSize, labels]]
    var warnings = fields.idleConstraint
    if let sampling, let sampler = try sampler() { warnings += sampling.warnings(sampler) }
    return LayerShapes(tops: Array(tops.prefix(fields.parameter.top.count)), warnings: warnings)
  }

  package func outlinesWithoutSource(bottoms: [Shape]) -> [TopOutline]? {
    guard fields.parameter.imageDataParam.source.isEmpty || !exists(source.path) else { return nil }
    let param = fields.parameter.imageDataParam
    let images = fields.outlineOfImages(
      batch: batchSize, channels: param.isColor ? 3 : 1, height: param.newHeight, width: param.newWidth)
    // Without a word on labels there is one, unless the net cuts them apart.
    var labels = TopOutline.exactly(labelCount.map { [batchSize, $0] } ?? [batchSize])
    labels.mayGrow = labelCount == nil
    return Array([images, labels].prefix(fields.parameter.top.count))
  }

  package var refusal: Diagnostic? {
    Records.refusal {
      try refuseForeignFields()
      try fields.refuseForeignTransforms()
    }
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let param = fields.parameter.imageDataParam
    if let refusal { throw refusal }
    try atSource { try source.checkImagesExist() }
    let seed = binding.draws.seed
    var order = RecordOrder(
      count: try source.contents().list.entries.count, skip: param.randSkip, isShuffled: param.shuffle, seed: seed)
    order.sampler = try sampler()
    let preparation = try Preparation(fields, record: firstShape())
    let motion = try motion()
    return try PrefetchedRecordRun(
      binding, source: param.source, recordCount: order.roundCount, batchSize: batchSize
    ) { [source, batchSize] in
      try ImageBatchFiller(source, preparation, motion: motion, order, batchSize: batchSize, draws: seed)
    }
  }

  /// Refuses the fields that single forks have and that change which images come, or what becomes of them.
  private func refuseForeignFields() throws {
    let param = fields.parameter.imageDataParam
    let resizing = "images are resized to new_height x new_width"
    let face = "images are changed by transform_param alone"
    let transform = fields.parameter.transformParam
    try fields.refuse(transform.forceGray && param.isColor, "transform_param.force_gray", "use is_color: false")
    try fields.refuse(transform.forceColor && !param.isColor, "transform_param.force_color", "use is_color: true")
    let given: [(Bool, String, String)] = [
      (param.hasLabelType && param.labelType == .pixel, "label_type", "labels are numbers, not images"),
      (
        param.hasLabelType && param.labelType == .none && fields.parameter.top.count > 1, "label_type",
        "NONE has one top"
      ),
      (param.newLength > 1, "new_length", "a record is one image"),
      (param.pairSize > 1, "pair_size", "a line names one image"),
      (param.hasSampleNum, "sample_num", "each image comes once in a round"),
      (param.useImage, "use_image", "the first top holds the images"),
      (param.hasNewDim, "new_dim", resizing),
      (param.minHeight > 0, "min_height", resizing),
      (param.minWidth > 0, "min_width", resizing),
      (param.bicubic, "bicubic", "new_height and new_width resize bilinearly; resize_param has CUBIC"),
      (param.maxAspectRatio > 0, "max_aspect_ratio", face),
      (param.facePointNum > 0, "face_point_num", face),
      (param.faceTransform, "face_transform", face),
      (param.maxRandomScale != 1, "max_random_scale", face),
      (param.minRandomScale != 1, "min_random_scale", face),
      (param.maxRandomShift > 0, "max_random_shift", face),
      (param.maxRotateAngle != 0, "max_rotate_angle", face),
      (param.maxShearRatio != 0, "max_shear_ratio", face),
      (param.higher != 1, "higher", face),
      (param.lower != 1, "lower", face),
      (param.minAspectRatio != 1, "min_aspect_ratio", face),
      (param.probability != 1, "probability", face),
      (param.isFlow, "is_flow", "records are pictures, not optical flow"),
      (param.numTruthChannels > 1, "num_truth_channels", "labels are numbers, not images"),
      (param.hasTransformParam, "transform_param", "write it as the layer's own transform_param"),
      (param.truthScale != 1, "truth_scale", "labels are numbers, not images"),
      (param.useTemporalJitter, "use_temporal_jitter", "a record is one image"),
    ]
    for (isGiven, name, reason) in given { try fields.refuse(isGiven, "image_data_param.\(name)", reason) }
  }
}
