import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// The default boxes of SSD (Liu et al., ECCV 2016): at each position of a feature map, boxes of several sizes and shapes.
///
/// Bottoms: the feature map N x C x H x W and the image N x 3 x H' x W', of which only the shapes count. Top 1 x 2 x (H W
/// boxes 4): corners (xmin, ymin, xmax, ymax, as shares of the image), then their variances. Per `min_size` s (cut to a
/// whole number): a square of side s, one of side sqrt(s `max_size`) where that is given, and for each `aspect_ratio` r
/// (with `flip` also 1/r) one of s sqrt(r) x s / sqrt(r). Centres are (i + `offset`) `step`; without `step` (or `step_h`,
/// `step_w`), image over feature map. `img_size` (or `img_h`, `img_w`) stands in for the image's extents; `clip` cuts the
/// boxes at its border; `variance` is one value (0.1 at first) or four. With `denser_prior_boxes` each box is followed by one
/// whose centre is at the lower border of the position, (i + 1) `step` (TextBoxes++: Liao, Shi, Bai, TIP 2018).
package struct PriorBox: Layer {
  package static let type = "PriorBox"
  package static let parameterFields: [String]? = ["prior_box_param"]
  package static let bottomCount = 1...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: PriorBoxParameter
  private let ratios: [Float]

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.priorBoxParam
    for (isGiven, name) in [
      (param.faceboxes, "faceboxes"), (param.tf, "tf"),
      (param.yxOrder, "yx_order"), (param.keras, "keras"), (!param.height.isEmpty, "height"),
      (!param.width.isEmpty, "width"), (!param.boxHeight.isEmpty, "box_height"), (!param.boxWidth.isEmpty, "box_width"),
    ] {
      try fields.refuse(isGiven, "prior_box_param.\(name)", "only the boxes of SSD are made")
    }
    var ratios: [Float] = [1]
    for ratio in param.aspectRatio where !ratios.contains(where: { abs($0 - ratio) < 1e-6 }) {
      ratios.append(ratio)
      if param.flip { ratios.append(1 / ratio) }
    }
    self.ratios = ratios
    try check()
  }

  private func check() throws {
    guard !param.minSize.isEmpty, param.minSize.allSatisfy({ $0 >= 1 && $0 < 1e6 }) else {
      throw fields.fault("min_size, in pixels, is missing or below 1", at: "prior_box_param")
    }
    guard param.maxSize.isEmpty || param.maxSize.count == param.minSize.count,
      zip(param.minSize, param.maxSize).allSatisfy({ $0 < $1 && $1 < 1e6 })
    else {
      throw fields.fault("give a max_size for each min_size, and larger than it", at: "prior_box_param.max_size[0]")
    }
    guard param.aspectRatio.allSatisfy({ $0 > 0 }) else {
      throw fields.fault("aspect_ratio must be above 0", at: "prior_box_param.aspect_ratio[0]")
    }
    guard [0, 1, 4].contains(param.variance.count), param.variance.allSatisfy({ $0 > 0 }) else {
      throw fields.fault("give one variance or four, above 0", at: "prior_box_param.variance[0]")
    }
    guard !(param.hasImgSize && (param.hasImgH || param.hasImgW)), param.hasImgH == param.hasImgW,
      !(param.hasStep && (param.hasStepH || param.hasStepW)), param.hasStepH == param.hasStepW
    else {
      throw fields.fault("the image and the step are given once, or by _h and _w together", at: "prior_box_param")
    }
    guard fields.parameter.bottom.count == 2 || param.hasImgSize || param.hasImgH else {
      throw fields.fault("without a second bottom, the image, img_size is missing", at: "prior_box_param")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  private var boxes: Int {
    (ratios.count * param.minSize.count + param.maxSize.count) * (param.denserPriorBoxes ? 2 : 1)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    if let other = bottoms.first(where: { $0.rank != 4 }) {
      throw fields.fault(.badShape, "needs bottoms of 4 axes (N x C x H x W), but one is \(other)")
    }
    return LayerShapes(tops: [[1, 2, bottoms[0][2] * bottoms[0][3] * boxes * 4]])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let top = binding.top(0)
    top.dataRegion.isPinned = true
    let values = values(binding.bottomShapes)
    return ConstantRun(top) { target in
      values.withUnsafeBufferPointer { if let base = $0.baseAddress { target.update(from: base, count: $0.count) } }
    }
  }

  private func values(_ bottoms: [Shape]) -> [Float] {
    let (height, width) = (bottoms[0][2], bottoms[0][3])
    let imageHeight = param.hasImgSize ? Int(param.imgSize) : param.hasImgH ? Int(param.imgH) : bottoms[1][2]
    let imageWidth = param.hasImgSize ? Int(param.imgSize) : param.hasImgW ? Int(param.imgW) : bottoms[1][3]
    let stepY = param.hasStep ? param.step : param.hasStepH ? param.stepH : Float(imageHeight) / Float(height)
    let stepX = param.hasStep ? param.step : param.hasStepW ? param.stepW : Float(imageWidth) / Float(width)
    let sizes = sizes
    var values: [Float] = []
    for y in 0..<height {
      for x in 0..<width {
        let centreX = (Float(x) + param.offset) * stepX
        let centresY = [(Float(y) + param.offset) * stepY] + (param.denserPriorBoxes ? [Float(y + 1) * stepY] : [])
        for size in sizes {
          for centreY in centresY {
            values += [
              (centreX - size.width / 2) / Float(imageWidth), (centreY - size.height / 2) / Float(imageHeight),
              (centreX + size.width / 2) / Float(imageWidth), (centreY + size.height / 2) / Float(imageHeight),
            ]
          }
        }
      }
    }
    if param.clip { values = values.map { min(max($0, 0), 1) } }
    let variances = param.variance.isEmpty ? [0.1] : param.variance
    for index in values.indices { values.append(variances[variances.count == 1 ? 0 : index % 4]) }
    return values
  }

  /// Of the boxes at one position, in pixels.
  private var sizes: [(width: Float, height: Float)] {
    var sizes: [(width: Float, height: Float)] = []
    for (index, given) in param.minSize.enumerated() {
      let side = given.rounded(.towardZero)
      sizes.append(param.reduceBoxes ? (side / 2, side / 2) : (side, side))
      if !param.maxSize.isEmpty {
        let larger = (side * param.maxSize[index].rounded(.towardZero)).squareRoot()
        sizes.append((larger, larger))
      }
      for ratio in ratios where abs(ratio - 1) >= 1e-6 {
        sizes.append((side * ratio.squareRoot(), side / ratio.squareRoot()))
      }
    }
    return sizes
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "boxes of 6 kinds", inputs: [.normal([2, 4, 3, 4]), .normal([2, 3, 30, 40])],
      """
      layer { name: "p" type: "PriorBox" bottom: "in0" bottom: "in1" top: "p"
        prior_box_param { min_size: 8 max_size: 14 aspect_ratio: 2 aspect_ratio: 3 } }
      """, checksGradient: false),
    LayerExample(
      "twice as dense", inputs: [.normal([1, 4, 2, 3]), .normal([1, 3, 20, 30])],
      """
      layer { name: "p" type: "PriorBox" bottom: "in0" bottom: "in1" top: "p"
        prior_box_param { min_size: 8 aspect_ratio: 2 denser_prior_boxes: true } }
      """, checksGradient: false),
  ]
}

/// A top that is written once.
private final class ConstantRun: PreparedRun {
  private let top: Blob
  private let fill: (UnsafeMutablePointer<Float>) -> Void

  init(_ top: Blob, _ fill: @escaping (UnsafeMutablePointer<Float>) -> Void) {
    self.top = top
    self.fill = fill
  }

  func prepare() { fill(top.values) }
  func forward() {}
}
