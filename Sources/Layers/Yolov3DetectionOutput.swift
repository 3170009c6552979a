import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The boxes that YOLOv3 finds (Redmon, Farhadi, 2018; MobileNet-YOLO's fork of Caffe).
///
/// Bottoms: `mask_group_num` maps N x (`num_box` (5 + `num_classes`)) x H x W: of each anchor x, y, width, height,
/// objectness and classes. Map t has the anchors `mask` [t n] … [t n + num_box - 1], n being the masks of a map; an
/// anchor's size is a pair of `biases`, in pixels of a map enlarged by `anchors_scale` [t]. Each class whose sigmoid times
/// the objectness is above `confidence_threshold` is a box; it stays when it overlaps no better box by `nms_threshold`. Top
/// 1 x 1 x K x 7 as YoloDetectionOutput's. Nothing takes a gradient.
package struct Yolov3DetectionOutput: Layer {
  package static let type = "Yolov3DetectionOutput"
  package static let parameterFields: [String]? = ["yolov3_detection_output_param"]
  package static let bottomCount = 1...Int.max
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: Yolov3DetectionOutputParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.yolov3DetectionOutputParam
    let place = "yolov3_detection_output_param."
    try fields.refuse(param.gaussianBox, place + "gaussian_box", "boxes have no variances")
    let maps = fields.parameter.bottom.count
    guard param.numClasses > 0, param.numBox > 0, Int(param.maskGroupNum) == maps, param.anchorsScale.count == maps
    else {
      throw fields.fault(
        "num_classes and num_box must be at least 1, mask_group_num the number of bottoms, and anchors_scale given for "
          + "each", at: "yolov3_detection_output_param")
    }
    guard param.biases.count % 2 == 0 else {
      throw fields.fault("biases come in pairs: a width and a height for each anchor", at: place + "biases[0]")
    }
    guard param.mask.count / maps >= Int(param.numBox), param.mask.allSatisfy({ 2 * Int($0) + 1 < param.biases.count })
    else {
      throw fields.fault(
        "each bottom needs \(param.numBox) masks, each the index of a pair of biases", at: place + "mask[0]")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let channels = Int(param.numBox) * (5 + Int(param.numClasses))
    if let bad = bottoms.first(where: { $0.rank != 4 || $0[1] != channels || $0[0] != bottoms[0][0] }) {
      throw fields.fault(.badShape, "needs maps N x \(channels) x H x W, but one is \(bad)")
    }
    let boxes = bottoms.map { $0[2] * $0[3] }.reduce(0, +) * Int(param.numBox) * Int(param.numClasses)
    return LayerShapes(tops: [[1, 1, bottoms[0][0] * max(1, boxes), 7]], varyingAxis: 2)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    guard let rows = binding.liveRows else { preconditionFailure("the rows of a Yolov3DetectionOutput vary") }
    return Run(param, binding.bottomShapes.indices.map { binding.bottom($0) }, binding.top(0), rows)
  }

  private final class Run: LayerRun {
    private let param: Yolov3DetectionOutputParameter
    private let maps: [Blob]
    private let top: Blob
    private let rows: LiveRows
    private var boxes: YoloBoxes

    init(_ param: Yolov3DetectionOutputParameter, _ maps: [Blob], _ top: Blob, _ rows: LiveRows) {
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
        for t in maps.indices {
          for index in 0..<maps[t].shape.count(2...) {
            for anchor in 0..<Int(param.numBox) { add(t, image, anchor, index) }
          }
        }
        boxes.write(image: image, top, rows)
      }
      YoloBoxes.writeNone(images: images, top, rows)
    }

    private func add(_ t: Int, _ image: Int, _ anchor: Int, _ index: Int) {
      let (map, classes) = (maps[t], Int(param.numClasses))
      let prediction = YoloPrediction(map, image: image, anchor: anchor, classes: classes, index: index)
      let objectness = prediction.objectness
      let mask = Int(param.mask[t * (param.mask.count / maps.count) + anchor])
      let scale = Float(param.anchorsScale[t])
      for label in 0..<classes {
        let score = objectness * YoloPrediction.sigmoid(prediction.score(label))
        guard score > param.confidenceThreshold else { continue }
        let box = prediction.box(
          anchor: (param.biases[2 * mask], param.biases[2 * mask + 1]),
          scale: (Float(map.shape[3]) * scale, Float(map.shape[2]) * scale))
        boxes.add(.init(score: score, label: label, box: box))
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two maps", inputs: [.normal([2, 16, 3, 4]), .normal([2, 16, 2, 2])],
      """
      layer { name: "y" type: "Yolov3DetectionOutput" bottom: "in0" bottom: "in1" top: "y"
        yolov3_detection_output_param { num_classes: 3 num_box: 2 confidence_threshold: 0.3 anchors_scale: 8
          anchors_scale: 16 biases: 7 biases: 9 biases: 12 biases: 15 biases: 20 biases: 30 mask: 0 mask: 2 mask: 1
          mask: 0 } }
      """, checksGradient: false)
  ]
}
