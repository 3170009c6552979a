import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The loss of YOLOv2 (Redmon, Farhadi, CVPR 2017; MobileNet-YOLO's fork of Caffe).
///
/// Bottoms: a map N x (`num` (5 + `num_class`)) x H x W, of each box x, y, width, height, objectness and classes; objects
/// N x (M 5) (class from 0, centre and size as shares of the image, a width of 0 behind the last), or 1 x 1 x M x 8 as
/// AnnotatedData gives them. An object takes, in the cell of its centre, the anchor (a pair of `biases`, in cells) of the
/// likest size, or without `bias_match` the likest predicted box. Differences: `coord_scale` (sigmoid(x) - wanted) s' for
/// the centre, s' being the sigmoid's slope; `coord_scale` (w - log(wanted / anchor)) for the size; `object_scale`
/// (sigmoid(o) - 1) s', with `rescore` the overlap in the place of 1 (without, boxes count by 2 - width height);
/// `class_scale` (softmax - label); and `noobject_scale` sigmoid(o) s' for boxes that overlap no object by more than
/// `thresh`. Top: the sum of their squares over N; the gradient is the differences over N, as in darknet. The map takes a
/// gradient.
///
/// The first fork that had this layer (caffe-yolov2) differs: it does not divide the value by N, never rescores, and draws
/// boxes to their anchors for the first 12,800 images.
package struct RegionLoss: Layer {
  package static let type = "RegionLoss"
  package static let parameterFields: [String]? = ["region_loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let rules: YoloRules

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.regionLossParam
    let place = "region_loss_param."
    try fields.refuse(param.hasSoftmaxTree && !param.softmaxTree.isEmpty, place + "softmax_tree", "classes are a list")
    try fields.refuse(
      param.hasClassMap && !param.classMap.isEmpty, place + "class_map", "give the classes in the records")
    try fields.refuse(param.coords != 4, place + "coords", "boxes have four numbers")
    guard param.num > 0, param.numClass > 0, param.biases.count == 2 * Int(param.num) else {
      throw fields.fault(
        "num and num_class must be at least 1, and biases be num pairs of a width and a height", at: "region_loss_param"
      )
    }
    guard param.biases.allSatisfy({ $0 > 0 }) else {
      throw fields.fault("biases must be above 0", at: place + "biases[0]")
    }
    self.fields = fields
    rules = YoloRules(
      anchors: (0..<Int(param.num)).map { (param.biases[2 * $0], param.biases[2 * $0 + 1]) }, cellSide: nil,
      mask: Array(0..<Int(param.num)), classes: Int(param.numClass), objectScale: param.objectScale,
      backgroundScale: param.noobjectScale, classScale: param.classScale, boxScale: param.coordScale,
      threshold: param.thresh, secondThreshold: nil, isSoftmax: true, matchesAnchors: param.biasMatch != 0,
      rescores: param.rescore != 0, favoursSmall: param.rescore == 0, smoothing: 0, slopes: .place)
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    try YoloLossRun.check(bottoms, rules, fields)
    return LayerShapes(tops: [.scalar])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { YoloLossRun(binding, fields.identity, rules) }

  package static let examples: [LayerExample] = [
    example("the anchor of the likest size", "bias_match: 1"), example("the likest box", "bias_match: 0 rescore: 0"),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([2, 14, 2, 2]), .uniform([2, 5], 0.3...0.8)],
      """
      layer { name: "loss" type: "RegionLoss" bottom: "in0" bottom: "in1" top: "loss"
        region_loss_param { num: 2 num_class: 2 biases: 0.5 biases: 0.8 biases: 1.2 biases: 0.9 \(param) } }
      """, checksGradient: false)
  }
}
