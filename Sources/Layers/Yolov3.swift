import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The loss of YOLOv3 on one of its maps (Redmon, Farhadi, 2018; MobileNet-YOLO's fork of Caffe).
///
/// Bottoms as RegionLoss's. The map predicts boxes for the anchors `mask` of all `biases` (pairs, in pixels of an image of
/// H x W cells of `anchors_scale` pixels). An object takes the anchor of the likest size, if that is of this map, and all
/// others of the map that overlap it by more than `iou_thresh`. Differences: `coord_scale` (2 - width height) times
/// (sigmoid(x) - wanted) and (w - log(wanted / anchor)); sigmoid(o) - 1; `class_scale` (sigmoid(c) - label), a label y being
/// taken as y (1 - `label_smooth_eps`) + `label_smooth_eps` / 2; and sigmoid(o) for boxes that overlap no object by more
/// than `thresh`. With `use_logic_gradient` the objectness of objects counts `object_scale` times, and the gradient of all
/// but sizes is multiplied by the sigmoid's slope. Top: the sum of the squares over N; the gradient is the differences
/// over N, as in darknet. The map takes a gradient.
package struct Yolov3: Layer {
  package static let type = "Yolov3"
  package static let parameterFields: [String]? = ["yolov3_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let rules: YoloRules

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.yolov3Param
    let place = "yolov3_param."
    try fields.refuse(param.iouLoss != .mse, place + "iou_loss", "MSE is computed")
    try fields.refuse(param.useFocalLoss, place + "use_focal_loss", "classes are weighted equally")
    guard param.numClass > 0, param.num > 0, param.mask.count == Int(param.num), param.anchorsScale > 0 else {
      throw fields.fault(
        "num_class, num and anchors_scale must be at least 1, and num masks be given", at: "yolov3_param")
    }
    guard !param.biases.isEmpty, param.biases.count % 2 == 0, param.biases.allSatisfy({ $0 > 0 }) else {
      throw fields.fault("biases come in pairs: a width and a height for each anchor", at: place + "biases[0]")
    }
    guard param.mask.allSatisfy({ 2 * Int($0) + 1 < param.biases.count }), Set(param.mask).count == param.mask.count
    else {
      throw fields.fault("each mask is the index of another pair of biases", at: place + "mask[0]")
    }
    guard (0..<1).contains(param.labelSmoothEps) else {
      throw fields.fault("label_smooth_eps must be in 0 ..< 1", at: place + "label_smooth_eps")
    }
    self.fields = fields
    rules = YoloRules(
      anchors: (0..<param.biases.count / 2).map { (param.biases[2 * $0], param.biases[2 * $0 + 1]) },
      cellSide: Float(param.anchorsScale), mask: param.mask.map(Int.init), classes: Int(param.numClass),
      objectScale: param.useLogicGradient ? param.objectScale : 1, backgroundScale: 1, classScale: param.classScale,
      boxScale: param.coordScale, threshold: param.thresh, secondThreshold: param.iouThresh < 1 ? param.iouThresh : nil,
      isSoftmax: false, matchesAnchors: true, rescores: false, favoursSmall: true, smoothing: param.labelSmoothEps,
      slopes: param.useLogicGradient ? .allInBackward : nil)
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    try YoloLossRun.check(bottoms, rules, fields)
    return LayerShapes(tops: [.scalar])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { YoloLossRun(binding, fields.identity, rules) }

  package static let examples: [LayerExample] = [
    example("two of three anchors", "mask: 1 mask: 2"),
    example("slopes of the sigmoid", "mask: 0 mask: 1 use_logic_gradient: true"),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([2, 14, 2, 2]), .uniform([2, 5], 0.3...0.8)],
      """
      layer { name: "loss" type: "Yolov3" bottom: "in0" bottom: "in1" top: "loss"
        yolov3_param { num: 2 num_class: 2 anchors_scale: 16 biases: 8 biases: 13 biases: 16 biases: 30 biases: 19
          biases: 15 \(param) } }
      """, checksGradient: false)
  }
}
