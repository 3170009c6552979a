import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// The boxes that SSD finds (Liu et al., ECCV 2016): decoded, those below `confidence_threshold` and those that overlap a
/// better one of their class (`nms_param`) left out, the best `keep_top_k` of an image kept.
///
/// Bottoms: locations N x (boxes 4) (boxes classes 4 with `share_location: false`), confidences N x (boxes classes),
/// default boxes 1 x 2 x (boxes 4). Top 1 x 1 x K x 7: image, class, confidence, xmin, ymin, xmax, ymax, by image and
/// class. K is the number of boxes found, anew in each pass; where there are none, a row of -1 for each image.
package struct DetectionOutput: RefusedLayer {
  package static let type = "DetectionOutput"
  package static let parameterFields: [String]? = ["detection_output_param"]
  package static let bottomCount = 3...5
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: DetectionOutputParameter
  private let code: BoxCode

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.detectionOutputParam
    code = try BoxCode(
      fields, param.codeType, usesVariance: !param.varianceEncodedInTarget, at: "detection_output_param.code_type")
    guard param.numClasses > 0 else {
      throw fields.fault("num_classes must be at least 1", at: "detection_output_param.num_classes")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  private func rowsPerImage(_ boxes: Int) -> Int {
    if param.keepTopK > -1 { return Int(param.keepTopK) }
    let perClass = param.nmsParam.hasTopK && param.nmsParam.topK > -1 ? min(boxes, Int(param.nmsParam.topK)) : boxes
    return (0..<Int(param.numClasses)).filter { $0 != Int(param.backgroundLabelID) }.count * perClass
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let priors = try DefaultBoxes(fields, priors: bottoms[2], bottom: 2)
    let (images, classes) = (bottoms[0].extent(0), Int(param.numClasses))
    let locations = param.shareLocation ? 1 : classes
    guard bottoms[0].count == images * priors.count * locations * 4,
      bottoms[1].count == images * priors.count * classes
    else {
      throw fields.fault(
        .badShape,
        "\(priors.count) default boxes and \(classes) classes do not fit locations \(bottoms[0]) and confidences \(bottoms[1])"
      )
    }
    return LayerShapes(tops: [[1, 1, images * max(1, rowsPerImage(priors.count)), 7]], varyingAxis: 2)
  }

  /// The fields of forks' own detectors; accepted until the layer is to run.
  package var refusal: Diagnostic? {
    do {
      try refuseForks()
      return nil
    } catch { return error as? Diagnostic }
  }

  private func refuseForks() throws {
    try fields.refuse(
      fields.parameter.bottom.count > 3, "bottom", "detections are made as SSD makes them, not refined as in RefineDet")
    let ratios: [(Bool, String)] = [
      (param.hasRatio0, "ratio0"), (param.hasRatio1, "ratio1"), (param.hasRatio2, "ratio2"),
      (param.hasRatio3, "ratio3"), (param.hasRatio4, "ratio4"), (param.hasRatio5, "ratio5"),
    ]
    let others: [(Bool, String)] = [
      (param.ratioPermute, "ratio_permute"), (param.noPermute, "no_permute"), (param.hasNbottom, "nbottom"),
      (param.tfliteDetection, "tflite_detection"), (param.tfliteUseRegularNms, "tflite_use_regular_nms"),
      (param.hasMaxClassesPerDetection, "max_classes_per_detection"), (!param.scaleXywh.isEmpty, "scale_xywh"),
      (param.armConfNoConcat, "arm_conf_no_concat"), (param.armLocNoConcat, "arm_loc_no_concat"),
      (param.hasObjectnessScore, "objectness_score"), (param.hasLm_p, "has_lm"),
      (!param.biasScale.isEmpty, "bias_scale"),
      (param.hasNmsThresh, "nms_thresh"), (param.hasClassType, "class_type"), (param.hasNetWidth, "net_width"),
      (param.hasNetHeight, "net_height"), (param.hasUsePolygon && param.usePolygon, "use_polygon"),
    ]
    for (isGiven, name) in ratios + others {
      try fields.refuse(isGiven, "detection_output_param.\(name)", "detections are made as SSD makes them")
    }
    try fields.refuse(
      !param.saveOutputParam.outputDirectory.isEmpty, "detection_output_param.save_output_param",
      "no files of detections are written; read the top instead")
    for (isGiven, name) in [(param.visualize, "visualize"), (!param.saveFile.isEmpty, "save_file")] {
      try fields.refuse(isGiven, "detection_output_param.\(name)", "nothing is drawn; read the top instead")
    }
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    try refuseForks()
    guard let rows = binding.liveRows else { preconditionFailure("the rows of a DetectionOutput vary") }
    let bottoms = (0..<3).map { binding.bottom($0) }
    let priors = try DefaultBoxes(fields, priors: binding.bottomShapes[2], bottom: 2)
    return Run(param, code, priors, bottoms, binding.top(0), rows, limit: rowsPerImage(priors.count))
  }

  private final class Run: LayerRun {
    private struct Found {
      var score: Float
      var label: Int
      var box: Box
    }

    private let param: DetectionOutputParameter
    private let code: BoxCode
    private let priors: DefaultBoxes
    private let bottoms: [Blob]
    private let top: Blob
    private let rows: LiveRows
    private let limit: Int
    private let classes: Int
    private let isShared: Bool
    /// Kept from pass to pass for their memory.
    private var candidates: [Found] = []
    private var found: [Found] = []

    init(
      _ param: DetectionOutputParameter, _ code: BoxCode, _ priors: DefaultBoxes, _ bottoms: [Blob], _ top: Blob,
      _ rows: LiveRows, limit: Int
    ) {
      self.param = param
      self.code = code
      self.priors = priors
      self.bottoms = bottoms
      self.top = top
      self.rows = rows
      self.limit = limit
      classes = Int(param.numClasses)
      isShared = param.shareLocation
      candidates.reserveCapacity(priors.count)
    }

    func forward() {
      top.values.update(repeating: -1, count: top.count)
      let images = bottoms[0].shape.extent(0)
      var row = 0
      for image in 0..<images {
        found.removeAll(keepingCapacity: true)
        for label in 0..<classes where label != Int(param.backgroundLabelID) { suppress(image, label) }
        if found.count > limit {
          // The best of all classes, in the order of their classes again.
          sortByScore(&found)
          found.removeLast(found.count - limit)
          found.sort { ($0.label, -$0.score) < ($1.label, -$1.score) }
        }
        for detection in found {
          write(image, detection, top.values + 7 * row)
          row += 1
        }
      }
      rows.count = row == 0 ? images : row
      if row == 0 { for image in 0..<images { top.values[7 * image] = Float(image) } }
    }

    /// NaN goes last; equal scores keep their order.
    private func sortByScore(_ detections: inout [Found]) {
      detections.sort { $0.score > $1.score || (!$0.score.isNaN && $1.score.isNaN) }
    }

    /// Adds the boxes of a class that no better one overlaps.
    private func suppress(_ image: Int, _ label: Int) {
      let threshold = param.hasConfidenceThreshold ? param.confidenceThreshold : -.greatestFiniteMagnitude
      let scores = bottoms[1].values + image * priors.count * classes
      let locations = isShared ? 1 : classes
      let codes = bottoms[0].values + image * priors.count * locations * 4
      candidates.removeAll(keepingCapacity: true)
      for index in 0..<priors.count where scores[index * classes + label] > threshold {
        let box = code.decode(
          codes + 4 * (index * locations + (isShared ? 0 : label)), prior: priors.box(bottoms[2].values, index),
          variance: priors.variance(bottoms[2].values, index))
        candidates.append(Found(score: scores[index * classes + label], label: label, box: box))
      }
      sortByScore(&candidates)
      let nms = param.nmsParam
      if nms.hasTopK, nms.topK > -1, candidates.count > Int(nms.topK) {
        candidates.removeLast(candidates.count - Int(nms.topK))
      }
      let start = found.count
      var allowed = nms.nmsThreshold
      for candidate in candidates {
        guard found[start...].allSatisfy({ candidate.box.overlap($0.box) <= allowed }) else { continue }
        found.append(candidate)
        if nms.eta < 1, allowed > 0.5 { allowed *= nms.eta }
      }
    }

    private func write(_ image: Int, _ detection: Found, _ row: UnsafeMutablePointer<Float>) {
      (row[0], row[1], row[2]) = (Float(image), Float(detection.label), detection.score)
      (row[3], row[4]) = (detection.box.xMin, detection.box.yMin)
      (row[5], row[6]) = (detection.box.xMax, detection.box.yMax)
    }
  }

  package static let examples: [LayerExample] = [
    example("shared locations", 16, "keep_top_k: 5"),
    example("locations per class", 48, "share_location: false keep_top_k: 4 code_type: CENTER_SIZE"),
  ]

  private static func example(_ name: String, _ locations: Int, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([2, locations]), .uniform([2, 12], 0...1), .uniform([1, 2, 16], 0.1...0.9)],
      """
      layer { name: "d" type: "DetectionOutput" bottom: "in0" bottom: "in1" bottom: "in2" top: "d"
        detection_output_param { num_classes: 3 \(param) nms_param { nms_threshold: 0.45 top_k: 3 } } }
      """, checksGradient: false)
  }
}
