import CaffeSchema
import Nets
import Tensors

/// Places the picture at random on a larger canvas, filled with the mean: SSD's `expand_param` (Liu et al., SSD, 2016,
/// section 3.6). The canvas' sides are those of the picture times a factor drawn from 1 to `max_expand_ratio`.
struct ImageExpansion: Sendable {
  private let probability: Float
  private let largest: Float
  /// A value for each channel.
  private let fill: [UInt8]

  /// - Returns: nil when nothing is to be expanded.
  /// - Throws: a fault of the layer for a factor below 1, and for a mean that cannot fill a canvas.
  init?(_ fields: LayerFields, channels: Int) throws {
    let transform = fields.parameter.transformParam
    guard transform.hasExpandParam, transform.expandParam.prob > 0 else { return nil }
    probability = transform.expandParam.prob
    largest = transform.expandParam.maxExpandRatio
    guard largest >= 1 else {
      throw fields.fault("max_expand_ratio must be at least 1", at: "transform_param.expand_param.max_expand_ratio")
    }
    try fields.refuse(
      transform.hasMeanFile, "transform_param.mean_file",
      "a canvas of any size cannot be filled with a mean image; "
        + "give mean_value beside expand_param")
    let mean = transform.meanValue
    fill = (0..<channels).map { mean.isEmpty ? 0 : rounded(mean.count == 1 ? mean[0] : $0 < mean.count ? mean[$0] : 0) }
  }

  func apply(_ image: Image, _ dice: inout Dice) -> (image: Image, frame: BoxFrame) {
    guard dice.happens(probability), largest - 1 > 0.01 else { return (image, .same) }
    let ratio = dice.uniform(1, largest)
    let (height, width) = (Int(Float(image.height) * ratio), Int(Float(image.width) * ratio))
    let top = Int(dice.uniform(0, Float(height - image.height)))
    let left = Int(dice.uniform(0, Float(width - image.width)))
    let canvas = image.padded(
      top: top, bottom: height - image.height - top, left: left, right: width - image.width - left, .constant(fill))
    let (oldHeight, oldWidth) = (Float(image.height), Float(image.width))
    let window = Box(
      xmin: -Float(left) / oldWidth, ymin: -Float(top) / oldHeight, xmax: Float(width - left) / oldWidth,
      ymax: Float(height - top) / oldHeight)
    return (canvas, BoxFrame(window: window))
  }
}
