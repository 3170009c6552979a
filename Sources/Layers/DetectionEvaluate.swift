import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Which of the boxes that were found are right, as SSD counts them for average precision (Liu et al., ECCV 2016).
///
/// Bottoms: boxes found 1 x 1 x D x 7 (image, class, confidence, xmin, ymin, xmax, ymax; image or class -1: none) and
/// objects 1 x 1 x M x 8 (image, class, instance, xmin, ymin, xmax, ymax, difficult). Top 1 x 1 x K x 5: for each class but
/// the background a row (-1, class, number of its objects, -1, -1); then for each box found, by image, class and falling
/// confidence, a row (image, class, confidence, right, wrong). A box is right when its object, the one of its class that
/// it overlaps most, is overlapped by at least `overlap_threshold` and no box before it took it. With
/// `evaluate_difficult_gt: false` difficult objects count for nothing, and a box on one is neither right nor wrong. With
/// `name_size_file` (lines of name, height, width) boxes are compared in pixels of the images in the order of the file.
/// Nothing takes a gradient.
package struct DetectionEvaluate: Layer {
  package static let type = "DetectionEvaluate"
  package static let parameterFields: [String]? = ["detection_evaluate_param"]
  package static let role = LayerRole.metric
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: DetectionEvaluateParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.detectionEvaluateParam
    let place = "detection_evaluate_param."
    guard param.numClasses > 0 else { throw fields.fault("num_classes must be at least 1", at: place + "num_classes") }
    guard param.overlapThreshold > 0 else {
      throw fields.fault("overlap_threshold must be above 0", at: place + "overlap_threshold")
    }
    try fields.refuse(param.hasLm_p, place + "has_lm", "objects are boxes")
    try fields.refuse(param.hasUsePolygon && param.usePolygon, place + "use_polygon", "objects are boxes")
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  private var labels: [Int] { (0..<Int(param.numClasses)).filter { $0 != Int(param.backgroundLabelID) } }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    for (bottom, width) in zip(bottoms, [7, 8]) where bottom.rank < 2 || bottom.dims.last != width {
      throw fields.fault(
        .badShape, "needs boxes of 7 numbers and objects of 8, but they are \(bottoms[0]) and \(bottoms[1])")
    }
    return LayerShapes(tops: [[1, 1, labels.count + bottoms[0].count / 7, 5]], varyingAxis: 2)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == bottoms[0].rank - 2 ? RowwiseBlobs(bottoms: [0], tops: []) : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    try fields.refuse(
      param.hasResizeParam, "detection_evaluate_param.resize_param", "give boxes as shares of the whole image")
    guard let rows = binding.liveRows else { preconditionFailure("the rows of a DetectionEvaluate vary") }
    return Run(
      param, labels, found: binding.bottom(0), objects: binding.bottom(1), binding.top(0), rows, sizes: try readSizes())
  }

  /// Height and width of each image.
  private func readSizes() throws -> [(height: Float, width: Float)] {
    guard !param.nameSizeFile.isEmpty else { return [] }
    let place = "detection_evaluate_param.name_size_file"
    let text = try fields.readText(param.nameSizeFile, at: place)
    return try text.split(whereSeparator: \.isNewline).enumerated().compactMap { number, line in
      let words = line.split(whereSeparator: \.isWhitespace)
      if words.isEmpty { return nil }
      guard words.count >= 3, let height = Float(words[words.count - 2]), let width = Float(words[words.count - 1]),
        height > 0, width > 0
      else {
        throw fields.fault(
          "line \(number + 1) of '\(param.nameSizeFile)' is no name, height and width", at: place)
      }
      return (height, width)
    }
  }

  private final class Run: LayerRun {
    private struct Found {
      var image: Int
      var label: Int
      var score: Float
      var box: Box
    }

    private let param: DetectionEvaluateParameter
    private let labels: [Int]
    private let found: Blob
    private let objects: Blob
    private let top: Blob
    private let rows: LiveRows
    private let sizes: [(height: Float, width: Float)]
    /// The place in `sizes` of the next image.
    private var image = 0
    /// Kept from pass to pass for their memory; of each object, whether a box took it.
    private var boxes: [Found] = []
    private var isTaken: [Bool] = []

    init(
      _ param: DetectionEvaluateParameter, _ labels: [Int], found: Blob, objects: Blob, _ top: Blob, _ rows: LiveRows,
      sizes: [(height: Float, width: Float)]
    ) {
      self.param = param
      self.labels = labels
      self.found = found
      self.objects = objects
      self.top = top
      self.rows = rows
      self.sizes = sizes
      boxes.reserveCapacity(found.count / 7)
    }

    func forward() {
      isTaken.removeAll(keepingCapacity: true)
      for _ in 0..<objects.count / 8 { isTaken.append(false) }
      rows.count = 0
      for label in labels {
        let count = isTaken.indices.count { isObject($0, label) && counts($0) }
        write(-1, Float(label), Float(count), -1, -1)
      }
      sortBoxes()
      var previous: Int?
      for box in boxes {
        if previous != box.image, previous != nil, !sizes.isEmpty { image = (image + 1) % sizes.count }
        previous = box.image
        judge(box)
      }
      if previous != nil, !sizes.isEmpty { image = (image + 1) % sizes.count }
    }

    private func sortBoxes() {
      boxes.removeAll(keepingCapacity: true)
      for row in 0..<found.liveCount / 7 {
        let values = found.values + 7 * row
        guard values[0] >= 0, values[0] < 0x1p30, values[1] >= 0, values[1] < 0x1p30 else { continue }
        boxes.append(Found(image: Int(values[0]), label: Int(values[1]), score: values[2], box: Box(values + 3)))
      }
      boxes.sort { a, b in
        (a.image, a.label) != (b.image, b.label)
          ? (a.image, a.label) < (b.image, b.label) : a.score > b.score || (!a.score.isNaN && b.score.isNaN)
      }
    }

    private func isObject(_ row: Int, _ label: Int) -> Bool {
      objects.values[8 * row] >= 0 && objects.values[8 * row + 1] == Float(label)
    }

    private func counts(_ row: Int) -> Bool { param.evaluateDifficultGt || objects.values[8 * row + 7] == 0 }

    private func judge(_ box: Found) {
      var best: (row: Int, overlap: Float)?
      for row in isTaken.indices where isObject(row, box.label) && objects.values[8 * row] == Float(box.image) {
        let overlap = overlap(box.box, Box(objects.values + 8 * row + 3))
        if overlap > best?.overlap ?? -1 { best = (row, overlap) }
      }
      var (right, wrong): (Float, Float) = (0, 1)
      if let best, best.overlap >= param.overlapThreshold {
        if !counts(best.row) {
          wrong = 0
        } else if !isTaken[best.row] {
          isTaken[best.row] = true
          (right, wrong) = (1, 0)
        }
      }
      write(Float(box.image), Float(box.label), box.score, right, wrong)
    }

    /// In pixels a box reaches from its first to its last one, both included.
    private func overlap(_ a: Box, _ b: Box) -> Float {
      guard !sizes.isEmpty else { return a.overlap(b) }
      let (a, b) = (inPixels(a), inPixels(b))
      let width = min(a.xMax, b.xMax) - max(a.xMin, b.xMin)
      let height = min(a.yMax, b.yMax) - max(a.yMin, b.yMin)
      guard width >= 0, height >= 0 else { return 0 }
      let common = (width + 1) * (height + 1)
      func area(_ box: Box) -> Float {
        box.xMax < box.xMin || box.yMax < box.yMin ? 0 : (box.width + 1) * (box.height + 1)
      }
      return common / (area(a) + area(b) - common)
    }

    private func inPixels(_ box: Box) -> Box {
      let size = sizes[image]
      func cut(_ value: Float) -> Float { max(0, min(1, value)) }
      return Box(
        xMin: cut(box.xMin) * size.width, yMin: cut(box.yMin) * size.height, xMax: cut(box.xMax) * size.width,
        yMax: cut(box.yMax) * size.height)
    }

    private func write(_ a: Float, _ b: Float, _ c: Float, _ d: Float, _ e: Float) {
      let row = top.values + 5 * rows.count
      (row[0], row[1], row[2], row[3], row[4]) = (a, b, c, d, e)
      rows.count += 1
    }
  }

  package static let examples: [LayerExample] = [
    example("all objects", ""),
    example("without difficult objects", "evaluate_difficult_gt: false overlap_threshold: 0.1"),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.labels([1, 1, 9, 7], classes: 3), .labels([1, 1, 6, 8], classes: 3)],
      """
      layer { name: "e" type: "DetectionEvaluate" bottom: "in0" bottom: "in1" top: "e"
        detection_evaluate_param { num_classes: 3 \(param) } }
      """, checksGradient: false)
  }
}
