import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Tensors

/// Reads batches of pictures with boxes from a database of AnnotatedDatum records, as SSD makes them.
///
/// Tops: the pictures, batch_size x C x H x W; optionally their objects, 1 x 1 x M x 8: item, class, instance, xmin,
/// ymin, xmax, ymax (relative to the picture), difficult. M is as many as a batch can have by the boxes in the database;
/// rows without an object are -1 all over, as detection losses expect (SSD shapes the top anew for each batch). A
/// picture is distorted, expanded, cut to a part that a `batch_sampler` drew, resized, changed by noise, cropped and
/// mirrored, as `transform_param` says; which boxes stay in a part is up to `emit_constraint`.
package struct AnnotatedData: RecordReading, AbsentSourceLayer, RefusedLayer {
  package static let type = "AnnotatedData"
  package static let parameterFields: [String]? = ["data_param", "annotated_data_param", "transform_param"]
  package static let role = LayerRole.data
  package static let bottomCount = 0...0
  package static let topCount = 1...3
  package static let examples: [LayerExample] = []

  private let fields: LayerFields
  private let source: RecordSource
  private let boxCounts = SeenOnce<Int>()

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.dataParam
    self.fields = fields
    guard param.batchSize > 0 else { throw fields.fault("batch_size must be at least 1", at: "data_param.batch_size") }
    source = RecordSource(path: fields.existingPath(param.source), channels: try ImageChannels(fields))
  }

  package var batchSize: Int { Int(fields.parameter.dataParam.batchSize) }
  package func recordCount() throws -> Int { try atSource { try source.database().count } }
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

  private func firstShape() throws -> Shape {
    try atSource {
      let cursor = try source.database().makeCursor()
      return try withExtendedLifetime(cursor) {
        let (picture, _) = try source.decodeAnnotated(cursor.next())
        return RecordValues(picture.image).shape
      }
    }
  }

  /// The most boxes that a batch can have: those of the records that have the most.
  private func mostBoxes() throws -> Int {
    try boxCounts.value {
      try atSource {
        let database = try source.database()
        let cursor = try database.makeCursor()
        let counts = try (0..<database.count).map { _ in countAnnotations(try cursor.next().value) }
        let fullRounds = batchSize / counts.count
        let rest = counts.sorted(by: >).prefix(batchSize % counts.count).reduce(0, +)
        return max(1, fullRounds * counts.reduce(0, +) + rest)
      }
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard !fields.parameter.dataParam.source.isEmpty else {
      throw fields.fault("source is missing; give the path of the database", at: "data_param")
    }
    let output = try Preparation.output(fields, record: firstShape())
    let boxes = fields.parameter.top.count > 1 ? try mostBoxes() : 0
    let tops = [
      Shape([batchSize] + output.dims), [1, 1, boxes, 8], Shape([batchSize, 1] + output.dims.dropFirst()),
    ]
    return LayerShapes(tops: Array(tops.prefix(fields.parameter.top.count)), warnings: fields.idleDataFields)
  }

  /// As many boxes as records, where nobody counted them.
  package func outlinesWithoutSource(bottoms: [Shape]) -> [TopOutline]? {
    guard fields.parameter.dataParam.source.isEmpty || !exists(source.path) else { return nil }
    let images = fields.outlineOfImages(batch: batchSize)
    let map = TopOutline([batchSize, 1, images.extents?[2], images.extents?[3]].map { $0 ?? nil })
    let tops = [images, .exactly([1, 1, batchSize, 8]), map]
    return Array(tops.prefix(fields.parameter.top.count))
  }

  package var refusal: Diagnostic? {
    Records.refusal {
      try fields.refuseForeignDataFields()
      try refuseMixtures()
      if fields.parameter.top.count > 2 {
        throw fields.fault(.unsupported, "a third top, one fork's map of classes, is not made here", at: "top[2]")
      }
      try refuseForeignFields()
      try fields.refuseForeignTransforms()
      try fields.refusePoints()
    }
  }

  private func refuseMixtures() throws {
    let param = fields.parameter.dataParam
    let reason = "boxes are read from one database"
    try fields.refuse(!param.mixed.isEmpty, "data_param.mixed[0]", reason)
    try fields.refuse(param.hasMixing, "data_param.mixing", reason)
    try fields.refuse(param.hasSourceWeight, "data_param.source_weight", reason)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let param = fields.parameter.dataParam
    if let refusal { throw refusal }
    let order = RecordOrder(
      count: try source.database().count, skip: param.randSkip, isShuffled: param.shuffle || param.shufflePoolSize > 1,
      seed: binding.draws.seed)
    let transform = fields.parameter.transformParam
    let preparation = try Preparation(fields, record: firstShape())
    let sampling = try BoxSampling(fields)
    let boxCount = binding.topShapes.count > 1 ? binding.topShapes[1][2] : 0
    let seed = binding.draws.seed
    return try PrefetchedRecordRun(
      binding, source: param.source, recordCount: order.count, batchSize: batchSize, depth: Int(param.prefetch)
    ) { [source, batchSize] in
      AnnotatedBatchFiller(
        RecordSequence(source, order), preparation, sampling,
        transform.hasEmitConstraint ? transform.emitConstraint : nil, batchSize: batchSize, boxCount: boxCount,
        draws: seed)
    }
  }

  private func refuseForeignFields() throws {
    try fields.refuse(
      fields.parameter.dataParam.hasSampler, "data_param.sampler", "pictures with boxes have no identity to be drawn by"
    )
    let param = fields.parameter.annotatedDataParam
    let one = "it belongs to one fork's detector"
    let given: [(Bool, String, String)] = [
      (param.hasAnnoType && param.annoType != .bbox, "anno_type", "annotations are boxes"),
      (!param.singleClass, "single_class", one),
      (param.hasSegScales, "seg_scales", "annotations are boxes"),
      (param.hasYoloDataJitter, "yolo_data_jitter", one),
      (param.yoloDataType != 0, "yolo_data_type", one),
      (param.hasDataAnchorSampler, "data_anchor_sampler", "use batch_sampler"),
      (param.hasBboxSampler, "bbox_sampler", "use batch_sampler"),
      (param.segResizeWidth > 0 || param.segResizeHeight > 0, "seg_resize_width", "annotations are boxes"),
      (param.yoloformat, "yoloformat", one),
      (
        param.hasCropType && param.cropType != .cropDefault && param.cropType != .cropBatch, "crop_type",
        "use batch_sampler"
      ),
      (param.hasLandmarks_p, "has_landmarks", "annotations are boxes"),
      (!param.trainDiffcult, "train_diffcult", "MultiBoxLoss has use_difficult_gt"),
      (param.difficultLabelWarmup, "difficult_label_warmup", one),
      (param.hasUpProb || param.hasLowProb, "up_prob", one),
    ]
    for (isGiven, name, reason) in given { try fields.refuse(isGiven, "annotated_data_param.\(name)", reason) }
  }
}

/// The number of boxes in an AnnotatedDatum in wire form, read without touching its picture; 0 for a damaged one.
func countAnnotations(_ bytes: UnsafeRawBufferPointer) -> Int {
  var count = 0
  // Field 3 of the record holds groups, field 2 of a group the boxes.
  forEachField(of: bytes) { number, value in
    guard number == 3, case .bytes(let group) = value else { return }
    forEachField(of: group) { number, value in
      if number == 2, case .bytes = value { count += 1 }
    }
  }
  return count
}

extension RecordSource {
  /// The picture and the boxes of a record.
  ///
  /// - Throws: `badRecord` that names the record's key and the database.
  func decodeAnnotated(_ record: Record) throws -> (picture: AnnotatedPicture, values: RecordValues) {
    let annotated: AnnotatedDatum
    do {
      annotated = try AnnotatedDatum(serializedBytes: record.borrowedValue)
    } catch {
      throw fault(record, "is no AnnotatedDatum; the record is damaged, or the database holds something else")
    }
    guard annotated.hasDatum else {
      throw fault(record, "is no AnnotatedDatum; a database of Datum records is read by a Data layer")
    }
    guard !annotated.hasType || annotated.type == .bbox else {
      throw fault(record, "is annotated with \(annotated.type), not with boxes")
    }
    let values = try decode(annotated.datum, record).values
    guard let image = values.image else {
      throw fault(record, "is \(values.shape) and no picture of 1 or 3 channels of bytes")
    }
    let boxes = annotated.annotationGroup.flatMap { group in
      group.annotation.map { annotation in
        AnnotatedBox(
          box: Box(
            xmin: annotation.bbox.xmin, ymin: annotation.bbox.ymin, xmax: annotation.bbox.xmax,
            ymax: annotation.bbox.ymax), group: group.groupLabel, instance: annotation.instanceID,
          isDifficult: annotation.bbox.difficult)
      }
    }
    return (AnnotatedPicture(image: image, boxes: boxes), values)
  }
}

/// Fills batches with pictures and their boxes.
private final class AnnotatedBatchFiller: RecordFiller, @unchecked Sendable {
  private let sequence: RecordSequence
  private let preparation: Preparation
  private let sampling: BoxSampling
  private let constraint: EmitConstraint?
  private let batchSize: Int
  private let boxCount: Int
  private let seed: UInt64

  init(
    _ sequence: RecordSequence, _ preparation: Preparation, _ sampling: BoxSampling, _ constraint: EmitConstraint?,
    batchSize: Int, boxCount: Int, draws seed: UInt64
  ) {
    self.sequence = sequence
    self.preparation = preparation
    self.sampling = sampling
    self.constraint = constraint
    self.batchSize = batchSize
    self.boxCount = boxCount
    self.seed = seed
  }

  func key(ofRecordAt place: Int) throws -> String { try sequence.key(at: place) }

  func fill(_ buffers: [Memory], pass: Int, firstRecord: Int) throws {
    let values = buffers[0].base.assumingMemoryBound(to: Float.self)
    var row = 0
    for item in 0..<batchSize {
      let place = firstRecord + pass * batchSize + item
      let record = try sequence.record(at: place)
      var (picture, _) = try sequence.source.decodeAnnotated(record)
      let draws = RandomStream.ofRecord(at: place, seed: seed)
      do throws(Preparation.Misfit) {
        try prepare(&picture, draws)
      } catch {
        throw sequence.source.fault(record, error.reason)
      }
      let shape = RecordValues(picture.image).shape
      if let reason = preparation.transform.misfit(shape) { throw sequence.source.fault(record, reason) }
      takeThroughTransform(&picture, shape, draws)
      preparation.write(
        RecordValues(picture.image), draws, into: values + item * preparation.output.count)
      guard boxCount > 0 else { continue }
      let rows = buffers[1].base.assumingMemoryBound(to: Float.self)
      for annotated in picture.boxes where row < boxCount {
        let box = annotated.box
        let line = [
          Float(item), Float(annotated.group), Float(annotated.instance), box.xmin, box.ymin, box.xmax, box.ymax,
          annotated.isDifficult ? 1 : 0,
        ]
        for (index, value) in line.enumerated() { rows[8 * row + index] = value }
        row += 1
      }
    }
    guard boxCount > 0 else { return }
    let rows = buffers[1].base.assumingMemoryBound(to: Float.self)
    (rows + 8 * row).update(repeating: -1, count: 8 * (boxCount - row))
  }

  /// What happens before Caffe's own crop.
  private func prepare(_ picture: inout AnnotatedPicture, _ draws: RandomStream) throws(Preparation.Misfit) {
    var dice = Dice(draws, part: "augmentation")
    let augmentation = preparation.augmentation
    if let distortion = augmentation.distortion { picture.image = distortion.apply(picture.image, &dice) }
    if let expansion = augmentation.expansion {
      let expanded = expansion.apply(picture.image, &dice)
      picture.image = expanded.image
      picture.move(expanded.frame)
    }
    if let part = sampling.draw(picture.boxes.map(\.box), &dice) { picture.crop(to: part, constraint) }
    if let resizing = augmentation.resizing {
      let resized = resizing.apply(picture.image, &dice)
      picture.image = resized.image
      picture.move(resized.frame)
    }
    if let noise = augmentation.noise { picture.image = try noise.apply(picture.image, &dice) }
  }

  /// Takes the boxes through the crop and the mirror, which the picture's values go through as they are written.
  private func takeThroughTransform(_ picture: inout AnnotatedPicture, _ shape: Shape, _ draws: RandomStream) {
    let origin = preparation.transform.framing.cropOrigin(height: shape[1], width: shape[2], draws)
    let (height, width) = (Float(shape[1]), Float(shape[2]))
    let part = Box(
      xmin: Float(origin.left) / width, ymin: Float(origin.top) / height,
      xmax: Float(origin.left + preparation.output[2]) / width,
      ymax: Float(origin.top + preparation.output[1]) / height)
    picture.keepBoxes(in: part, constraint)
    if preparation.transform.framing.isMirrored(draws) { picture.mirrorBoxes() }
  }
}
