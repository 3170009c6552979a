import CaffeSchema
import Nets
import Tensors

/// Resizes pictures as SSD's `resize_param` says. Of several `interp_mode` one is drawn for each picture.
///
/// WARP stretches to `height` x `width`. FIT_LARGE_SIZE_AND_PAD keeps the sides' ratio and pads what is missing, in equal
/// parts. FIT_SMALL_SIZE keeps the ratio and lets one side be longer, for a crop.
struct ImageResizing: Sendable {
  let output: (height: Int, width: Int)
  private let mode: ResizeParameter.Resize_mode
  private let padding: Image.Padding
  private let interpolations: [Interpolation]

  /// Whether pictures come out in several sizes.
  var sizesVary: Bool { mode == .fitSmallSize }

  /// - Parameter record: C x H x W of the first record.
  /// - Returns: nil when nothing is to be resized.
  /// - Throws: a fault of the layer for fields that are missing or cannot be followed.
  init?(_ fields: LayerFields, record: Shape) throws {
    let all = fields.parameter.transformParam.resizeParam
    guard let param = all.first else { return nil }
    let place = "transform_param.resize_param[0]"
    try fields.refuse(all.count > 1, "transform_param.resize_param[1]", "give one resize_param")
    guard param.height > 0, param.width > 0 else {
      throw fields.fault("height and width of resize_param must be at least 1", at: place)
    }
    try fields.refuse(param.prob < 1, "\(place).prob", "below 1 it would leave pictures of several sizes")
    try fields.refuse(
      param.heightScale > 0 || param.widthScale > 0, "\(place).height_scale", "boxes are relative to the picture here")
    try fields.refuse(param.isPyramidTest, "\(place).is_pyramid_test", "one size is made of each picture")
    try fields.refuse(param.hasJitter, "\(place).jitter", "it belongs to one fork's detector")
    try fields.refuse(
      param.hasOutHeightScale || param.hasOutWidthScale, "\(place).out_height_scale", "pictures have one size")
    output = (Int(param.height), Int(param.width))
    mode = param.resizeMode
    interpolations = param.interpMode.isEmpty ? [.linear] : param.interpMode.map(Interpolation.init)
    switch param.padMode {
    case .mirrored: padding = .mirrored
    case .repeatNearest: padding = .nearest
    case .constant:
      let values = param.padValue
      guard values.isEmpty || values.count == 1 || values.count == record[0] else {
        throw fields.fault(
          "\(values.count) pad_value are given for \(record[0]) channels; give one, or one per channel",
          at: "\(place).pad_value[0]")
      }
      padding = .constant(
        (0..<record[0]).map { values.isEmpty ? 0 : rounded(values[values.count == 1 ? 0 : $0]) })
    }
  }

  func apply(_ image: Image, _ dice: inout Dice) -> (image: Image, frame: BoxFrame) {
    let interpolation = interpolations[dice.integer(below: interpolations.count)]
    let (height, width) = (output.height, output.width)
    let ratio = Float(image.width) / Float(image.height)
    let isWider = ratio > Float(width) / Float(height)
    switch mode {
    case .warp:
      return (image.resized(height: height, width: width, by: interpolation), .same)
    case .fitSmallSize:
      let fitted =
        isWider || ratio == Float(width) / Float(height)
        ? (height, max(1, Int(ratio * Float(height)))) : (max(1, Int(Float(width) / ratio)), width)
      return (image.resized(height: fitted.0, width: fitted.1, by: interpolation), .same)
    case .fitLargeSizeAndPad:
      let fitted =
        isWider ? (max(1, Int(Float(width) / ratio)), width) : (height, max(1, Int(ratio * Float(height))))
      let inner = image.resized(height: fitted.0, width: fitted.1, by: interpolation)
      let (top, left) = ((height - fitted.0) / 2, (width - fitted.1) / 2)
      let scale = (Float(fitted.1) / Float(width), Float(fitted.0) / Float(height))
      return (
        inner.padded(
          top: top, bottom: height - fitted.0 - top, left: left, right: width - fitted.1 - left, padding),
        BoxFrame(scale: scale, offset: (Float(left) / Float(width), Float(top) / Float(height)))
      )
    }
  }
}

extension Interpolation {
  fileprivate init(_ mode: ResizeParameter.Interp_mode) {
    switch mode {
    case .linear: self = .linear
    case .area: self = .area
    case .nearest: self = .nearest
    case .cubic: self = .cubic
    case .lanczos4: self = .lanczos
    }
  }
}
