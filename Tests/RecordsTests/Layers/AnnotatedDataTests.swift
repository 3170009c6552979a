import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Testing

@testable import Records

/// Pictures 80 x 100 of one grey with a white object that their box tells, so that the box can be found again.
@Suite struct AnnotatedDataTests {
  private let folder: TestFolder

  init() throws {
    folder = try TestFolder()
    try write(boxCounts: [1, 2, 0, 3])
  }

  /// Record i has the classes 10 i, 10 i + 1, …; its first object lies in columns 20 to 49 and rows 40 to 59.
  private func write(boxCounts: [Int], to name: String = "db") throws {
    try FileManager.default.createDirectory(atPath: folder(name), withIntermediateDirectories: true)
    let writer = try LMDBWriter(folder: folder(name))
    for (index, count) in boxCounts.enumerated() {
      var annotated = AnnotatedDatum()
      annotated.type = .bbox
      var pixels = [UInt8](repeating: 50, count: 8000)
      for row in 40..<60 { for column in 20..<50 { pixels[row * 100 + column] = 255 } }
      (annotated.datum.channels, annotated.datum.height, annotated.datum.width) = (1, 80, 100)
      annotated.datum.data = Data(pixels)
      for box in 0..<count {
        var group = AnnotationGroup()
        group.groupLabel = Int32(10 * index + box)
        var annotation = Annotation()
        annotation.instanceID = Int32(box)
        (annotation.bbox.xmin, annotation.bbox.ymin) = box == 0 ? (0.2, 0.5) : (0, 0)
        (annotation.bbox.xmax, annotation.bbox.ymax) = box == 0 ? (0.5, 0.75) : (1, 0.125)
        annotation.bbox.difficult = box == 2
        group.annotation = [annotation]
        annotated.annotationGroup.append(group)
      }
      try writer.put(key: Array("\(index)".utf8), value: Array(annotated.serializedData()))
    }
    try writer.finish()
  }

  private func layer(_ transform: String = "", _ annotated: String = "", batch: Int = 2) -> String {
    """
    layer { name: "d" type: "AnnotatedData" top: "data" top: "label" data_param { source: "db" batch_size: \(batch) }
      transform_param { \(transform) }
      annotated_data_param { \(annotated) } }
    """
  }

  private func rows(_ net: Net) throws -> [[Float]] {
    let values = try net.values(of: #require(net.blob("label")))
    return stride(from: 0, to: values.count, by: 8).map { Array(values[$0..<$0 + 8]) }
  }

  @Test func readsPicturesAndBoxes() throws {
    let net = try dataNet(layer(), in: folder)
    #expect(net.blob("data")?.shape == [2, 1, 80, 100])
    // Two records have 5 boxes at most: those with 3 and with 2.
    #expect(net.blob("label")?.shape == [1, 1, 5, 8])
    let none = [Float](repeating: -1, count: 8)
    try net.forward()
    #expect(
      try rows(net) == [
        [0, 0, 0, 0.2, 0.5, 0.5, 0.75, 0], [1, 10, 0, 0.2, 0.5, 0.5, 0.75, 0], [1, 11, 1, 0, 0, 1, 0.125, 0], none,
        none,
      ])
    try net.forward()
    #expect(
      try rows(net) == [
        [1, 30, 0, 0.2, 0.5, 0.5, 0.75, 0], [1, 31, 1, 0, 0, 1, 0.125, 0], [1, 32, 2, 0, 0, 1, 0.125, 1], none, none,
      ])
  }

  @Test func aBatchLongerThanTheDatabase() throws {
    #expect(try dataNet(layer(batch: 9), in: folder).blob("label")?.shape == [1, 1, 15, 8])
  }

  /// Whatever is done to a picture, its first box lies around the white object (within a pixel, of cuts and of resizing).
  @Test(arguments: [
    ("mirror: true", "", 1), ("crop_h: 60 crop_w: 80 mirror: true", "", 1),
    ("resize_param { height: 32 width: 20 }", "", 1),
    (
      "resize_param { height: 40 width: 40 resize_mode: FIT_LARGE_SIZE_AND_PAD } emit_constraint { emit_type: CENTER }",
      "",
      2
    ),
    ("mean_value: 0 expand_param { max_expand_ratio: 3 } resize_param { height: 96 width: 120 }", "", 2),
    (
      "resize_param { height: 64 width: 80 } emit_constraint { emit_type: CENTER } mirror: true",
      "batch_sampler { sampler { min_scale: 0.5 max_scale: 1 min_aspect_ratio: 0.7 max_aspect_ratio: 1.4 } "
        + "sample_constraint { min_object_coverage: 1 } max_sample: 1 max_trials: 50 }", 4
    ),
  ])
  func boxesFollowTheirObject(_ transform: String, _ annotated: String, _ slack: Int) throws {
    try FileManager.default.removeItem(atPath: folder("db"))
    try write(boxCounts: [1, 1, 1])
    let net = try dataNet(layer(transform, annotated, batch: 3), in: folder)
    let shape = try #require(net.blob("data")?.shape)
    var seen: Set<[Float]> = []
    for _ in 0..<12 {
      try net.forward()
      let values = try net.values(of: #require(net.blob("data")))
      for row in try rows(net) where row[0] >= 0 {
        seen.insert(Array(row[3..<7]))
        let start = Int(row[0]) * shape[2] * shape[3]
        var (left, right, top, bottom) = (shape[3], 0, shape[2], 0)
        for y in 0..<shape[2] {
          for x in 0..<shape[3] where values[start + y * shape[3] + x] > 160 {
            (left, right, top, bottom) = (min(left, x), max(right, x + 1), min(top, y), max(bottom, y + 1))
          }
        }
        let box = [
          row[3] * Float(shape[3]), row[5] * Float(shape[3]), row[4] * Float(shape[2]), row[6] * Float(shape[2]),
        ]
        let found = [left, right, top, bottom].map(Float.init)
        let worst = zip(box, found).map { abs($0 - $1) }.max() ?? .infinity
        #expect(worst <= Float(slack), "box \(box), object \(found)")
      }
    }
    #expect(!seen.isEmpty)
    if !annotated.isEmpty || transform.contains("expand") { #expect(seen.count > 6) }
  }

  @Test func aPassIsTheSameHoweverItIsReached() throws {
    let text = layer(
      "mirror: true resize_param { height: 6 width: 6 interp_mode: AREA interp_mode: CUBIC } distort_param { "
        + "brightness_prob: 0.5 brightness_delta: 30 } expand_param { max_expand_ratio: 2 }",
      "batch_sampler { sampler { min_scale: 0.3 } max_sample: 1 } batch_sampler { max_sample: 1 }")
    let net = try dataNet(text, in: folder)
    let all = try (0..<6).map { _ in
      try net.forward()
      return try (net.values(of: #require(net.blob("data"))), rows(net))
    }
    let jumping = try dataNet(text, in: folder)
    for pass in [3, 0, 5] {
      jumping.clock.pass = pass
      try jumping.forward()
      #expect(try jumping.values(of: #require(jumping.blob("data"))) == all[pass].0)
      #expect(try rows(jumping) == all[pass].1)
    }
  }

  @Test func constraintsSayWhichBoxesStay() {
    let object = AnnotatedBox(
      box: Box(xmin: 0.4, ymin: 0, xmax: 0.8, ymax: 1), group: 1, instance: 0, isDifficult: false)
    let image = Image(height: 10, width: 10, channels: 1, pixels: [UInt8](repeating: 0, count: 100))
    func stays(_ part: Box, _ type: EmitConstraint.EmitType?, overlap: Float = 0) -> Box? {
      var constraint = EmitConstraint()
      if let type { constraint.emitType = type }
      constraint.emitOverlap = overlap
      var picture = AnnotatedPicture(image: image, boxes: [object])
      picture.crop(to: part, type == nil ? nil : constraint)
      return picture.boxes.first?.box
    }
    let left = Box(xmin: 0, ymin: 0, xmax: 0.5, ymax: 1)
    #expect(stays(left, nil) == Box(xmin: 0.8, ymin: 0, xmax: 1, ymax: 1))
    #expect(stays(left, .center) == nil)
    #expect(stays(left, .minOverlap, overlap: 0.2) == Box(xmin: 0.8, ymin: 0, xmax: 1, ymax: 1))
    #expect(stays(left, .minOverlap, overlap: 0.3) == nil)
    #expect(stays(Box(xmin: 0, ymin: 0, xmax: 0.3, ymax: 1), nil) == nil)
  }

  @Test func samplersKeepToTheirConstraint() throws {
    func parts(_ constraint: String, _ sampler: String = "min_scale: 0.3") throws -> [Box] {
      let text =
        #"layer { name: "d" type: "AnnotatedData" top: "x" data_param { source: "db" batch_size: 1 } "#
        + "annotated_data_param { batch_sampler { sampler { \(sampler) } sample_constraint { \(constraint) } } } }"
      let source = try NetSource(text: text, file: "net.prototxt")
      let sampling = try BoxSampling(
        LayerFields(
          parameter: source.parameter.layer[0], places: FieldPlaces(file: nil), phase: .train, paths: PathSearch()))
      let objects = [Box(xmin: 0.1, ymin: 0.2, xmax: 0.5, ymax: 0.6)]
      return (0..<200).compactMap { draw in
        var dice = Dice(.init(seed: UInt64(draw)), part: "test")
        return sampling.draw(objects, &dice)
      }
    }
    let object = Box(xmin: 0.1, ymin: 0.2, xmax: 0.5, ymax: 0.6)
    #expect(try parts("min_jaccard_overlap: 0.5").allSatisfy { $0.overlap(object) >= 0.5 })
    #expect(try parts("max_jaccard_overlap: 0.1").allSatisfy { $0.overlap(object) <= 0.1 })
    #expect(try parts("min_object_coverage: 1").allSatisfy { object.covered(by: $0) == 1 })
    #expect(try parts("min_sample_coverage: 0.9").allSatisfy { $0.covered(by: object) >= 0.9 })
    let free = try parts("", "min_scale: 0.5 max_scale: 0.5 min_aspect_ratio: 2 max_aspect_ratio: 2")
    #expect(free.count == 200)
    #expect(free.allSatisfy { abs($0.xmax - $0.xmin - 0.70711) < 1e-4 && abs($0.ymax - $0.ymin - 0.35355) < 1e-4 })
    #expect(free.allSatisfy { $0.xmin >= 0 && $0.ymin >= 0 && $0.xmax <= 1.00001 && $0.ymax <= 1.00001 })
  }

  // MARK: Shapes and faults

  @Test func shapesWithoutTheDatabase() throws {
    let text = layer("resize_param { height: 300 width: 300 } mean_value: 104 mean_value: 117 mean_value: 123")
      .replacing(#"source: "db""#, with: #"source: "none""#)
    #expect(try inferred(text, in: folder).shapes == ["data": "2x3x300x300", "label": "1x1x2x8"])
  }

  @Test func faults() throws {
    let place = "WORK/net.prototxt:1:79: error: layer 'd' (AnnotatedData): "
    try FileManager.default.createDirectory(atPath: folder("plain"), withIntermediateDirectories: true)
    let writer = try LMDBWriter(folder: folder("plain"))
    var datum = Datum()
    (datum.channels, datum.height, datum.width) = (1, 1, 1)
    datum.data = Data([1])
    try writer.put(key: [65], value: Array(datum.serializedData()))
    try writer.finish()
    #expect(
      fault(layer().replacing(#"source: "db""#, with: #"source: "plain""#), in: folder)
        == place
        + "record 'A' of database 'WORK/plain' is no AnnotatedDatum; a database of Datum records is read by a Data "
        + "layer")
    #expect(
      fault(layer("", "anno_type: LANE"), in: folder)
        == "WORK/net.prototxt:3:26: error: layer 'd' (AnnotatedData): anno_type is not supported: annotations are boxes"
    )
    #expect(
      fault(layer("", "batch_sampler { sampler { min_scale: 0 } }"), in: folder)
        == "WORK/net.prototxt:3:52: error: layer 'd' (AnnotatedData): min_scale must be above 0 and at most max_scale, and "
        + "that at most 1")
  }

  @Test func countsBoxesWithoutDecoding() throws {
    var annotated = AnnotatedDatum()
    annotated.datum.data = Data(repeating: 0x1a, count: 300)
    for count in [2, 0, 3] {
      var group = AnnotationGroup()
      group.groupLabel = 7
      group.annotation = [Annotation](repeating: Annotation(), count: count)
      annotated.annotationGroup.append(group)
    }
    let bytes = try Array(annotated.serializedData())
    #expect(bytes.withUnsafeBytes { countAnnotations($0) } == 5)
    for length in 0..<bytes.count { #expect(bytes[..<length].withUnsafeBytes { countAnnotations($0) } <= 5) }
  }
}
