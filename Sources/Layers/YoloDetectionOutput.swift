import CaffeSchema
import Diagnostics
import Glibc
import Nets
import Tensors

/// The boxes that YOLO9000 finds (Redmon, Farhadi, CVPR 2017; MobileNet-YOLO's fork of Caffe).
///
/// Bottoms: maps N x (`num_box` (5 + `num_classes`)) x H x W: of each anchor x, y, width, height, objectness and classes.
/// The anchors' sizes are `biases`, in places of the map. A box has the class of the highest softmax, and its confidence
/// is that times the objectness; it stays from `confidence_threshold` on, and when it overlaps no better box by
/// `nms_threshold`. Top 1 x 1 x K x 7: image, class from 1 on, confidence, xmin, ymin, xmax, ymax as shares of the image;
/// where there is none, a row of -1 for each image. The fork writes image 0 for all. Nothing takes a gradient.
package struct YoloDetectionOutput: Layer {
  package static let type = "YoloDetectionOutput"
  package static let parameterFields: [String]? = ["yolo_detection_output_param"]
  package static let bottomCount = 1...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: YoloDetectionOutputParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.yoloDetectionOutputParam
    guard param.numClasses > 0, param.numBox > 0, param.coords == 4 else {
      throw fields.fault(
        "num_classes and num_box must be at least 1, and coords 4", at: "yolo_detection_output_param")
    }
    guard param.biases.count == 2 * Int(param.numBox) else {
      throw fields.fault(
        "\(param.biases.count) biases are given for \(param.numBox) anchors; give a width and a height for each",
        at: "yolo_detection_output_param.biases[0]")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let channels = Int(param.numBox) * (5 + Int(param.numClasses))
    if let bad = bottoms.first(where: { $0.rank != 4 || $0[1] != channels || $0[0] != bottoms[0][0] }) {
      throw fields.fault(.badShape, "needs maps N x \(channels) x H x W, but one is \(bad)")
    }
    let places = bottoms.map { $0[2] * $0[3] }.reduce(0, +)
    return LayerShapes(
      tops: [[1, 1, bottoms[0][0] * max(1, places * Int(param.numBox)), 7]], varyingAxis: 2)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    guard let rows = binding.liveRows else { preconditionFailure("the rows of a YoloDetectionOutput vary") }
    return Run(param, binding.bottomShapes.indices.map { binding.bottom($0) }, binding.top(0), rows)
  }

  private final class Run: LayerRun {
    private let param: YoloDetectionOutputParameter
    private let maps: [Blob]
    private let top: Blob
    private let rows: LiveRows
    private var boxes: YoloBoxes

    init(_ param: YoloDetectionOutputParameter, _ maps: [Blob], _ top: Blob, _ rows: LiveRows) {
      self.param = param
      self.maps = maps
      self.top = top
      self.rows = rows
      boxes = YoloBoxes(threshold: param.nmsThreshold)
    }

    func forward() {
      rows.count = 0
      let images = maps[0].shape[0]
      for image in 0..<images {
        for map in maps {
          for index in 0..<map.shape.count(2...) {
            for anchor in 0..<Int(param.numBox) { add(map, image, anchor, index) }
          }
        }
        boxes.write(image: image, top, rows)
      }
      YoloBoxes.writeNone(images: images, top, rows)
    }

    private func add(_ map: Blob, _ image: Int, _ anchor: Int, _ index: Int) {
      let classes = Int(param.numClasses)
      let prediction = YoloPrediction(map, image: image, anchor: anchor, classes: classes, index: index)
      var label = 0
      for c in 1..<max(1, classes) where prediction.score(c) > prediction.score(label) { label = c }
      var sum: Float = 0
      for c in 0..<classes { sum += expf(prediction.score(c) - prediction.score(label)) }
      let score = prediction.objectness / sum
      guard score >= param.confidenceThreshold else { return }
      let box = prediction.box(
        anchor: (param.biases[2 * anchor], param.biases[2 * anchor + 1]),
        scale: (Float(map.shape[3]), Float(map.shape[2])))
      boxes.add(.init(score: score, label: label, box: box))
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two anchors", inputs: [.normal([2, 16, 3, 4])],
      """
      layer { name: "y" type: "YoloDetectionOutput" bottom: "in0" top: "y" yolo_detection_output_param { num_classes: 3
        num_box: 2 confidence_threshold: 0.2 biases: 0.7 biases: 0.9 biases: 1.5 biases: 2 } }
      """, checksGradient: false)
  ]
}
