import CaffeSchema
import Nets
import Tensors

/// Random changes of brightness, contrast, saturation and hue, each with its own probability, as SSD's `distort_param`
/// has them (Liu et al., SSD, 2016, section 2.2; Howard, 2013). Contrast comes second or last, by the toss of a coin.
struct ImageDistortion: Sendable {
  private let param: DistortionParameter

  /// - Returns: nil when nothing is to be changed.
  /// - Throws: a fault of the layer for a range that is none.
  init?(_ fields: LayerFields) throws {
    let transform = fields.parameter.transformParam
    guard transform.hasDistortParam else { return nil }
    param = transform.distortParam
    func check(_ isRight: Bool, _ message: String, _ field: String) throws {
      guard isRight else { throw fields.fault(message, at: "transform_param.distort_param.\(field)") }
    }
    try check(param.brightnessDelta >= 0, "brightness_delta must not be negative", "brightness_delta")
    try check(param.hueDelta >= 0, "hue_delta must not be negative", "hue_delta")
    for (name, probability, lower, upper) in [
      ("contrast", param.contrastProb, param.contrastLower, param.contrastUpper),
      ("saturation", param.saturationProb, param.saturationLower, param.saturationUpper),
    ] where probability > 0 {
      try check(lower >= 0 && lower <= upper, "\(name)_lower must be from 0 to \(name)_upper", "\(name)_lower")
    }
    try fields.refuse(
      param.hasExposureLower || param.hasExposureUpper, "transform_param.distort_param.exposure_lower",
      "exposure is distorted by one fork alone, in a way of its own")
  }

  func apply(_ image: Image, _ dice: inout Dice) -> Image {
    var pixels = image.pixels
    let isColor = image.channels == 3
    // All are drawn whether they are used or not, so that each has its own place among the draws.
    let contrastFirst = dice.happens(0.5)
    let brightness =
      dice.happens(param.brightnessProb) ? dice.uniform(-param.brightnessDelta, param.brightnessDelta) : 0
    let contrast = dice.happens(param.contrastProb) ? dice.uniform(param.contrastLower, param.contrastUpper) : 1
    let saturation = dice.happens(param.saturationProb) ? dice.uniform(param.saturationLower, param.saturationUpper) : 1
    let hue = dice.happens(param.hueProb) ? dice.uniform(-param.hueDelta, param.hueDelta) : 0
    if brightness != 0 { scale(&pixels, by: 1, plus: brightness) }
    if contrastFirst, contrast != 1 { scale(&pixels, by: contrast, plus: 0) }
    if isColor, saturation != 1 {
      changeHSV(&pixels) { HSVPixel($0.hue, rounded(Float($0.saturation) * saturation), $0.value) }
    }
    if isColor, hue != 0 { changeHSV(&pixels) { HSVPixel(rounded(Float($0.hue) + hue), $0.saturation, $0.value) } }
    if !contrastFirst, contrast != 1 { scale(&pixels, by: contrast, plus: 0) }
    if isColor, dice.happens(param.randomOrderProb) { reorder(&pixels, &dice) }
    return Image(height: image.height, width: image.width, channels: image.channels, pixels: pixels)
  }

  private func scale(_ pixels: inout [UInt8], by factor: Float, plus offset: Float) {
    let table = (0..<256).map { rounded(Float($0) * factor + offset) }
    pixels.withUnsafeMutableBufferPointer { pixels in
      table.withUnsafeBufferPointer { table in
        for i in pixels.indices { pixels[i] = table[Int(pixels[i])] }
      }
    }
  }

  private func changeHSV(_ pixels: inout [UInt8], _ change: (HSVPixel) -> HSVPixel) {
    pixels.withUnsafeMutableBufferPointer { pixels in
      for i in stride(from: 0, to: pixels.count, by: 3) {
        let hsv = change(HSVPixel(blue: pixels[i], green: pixels[i + 1], red: pixels[i + 2]))
        (pixels[i], pixels[i + 1], pixels[i + 2]) = hsv.bgr
      }
    }
  }

  private func reorder(_ pixels: inout [UInt8], _ dice: inout Dice) {
    var order = [0, 1, 2]
    for last in [2, 1] { order.swapAt(last, dice.integer(below: last + 1)) }
    for i in stride(from: 0, to: pixels.count, by: 3) {
      let old = (pixels[i], pixels[i + 1], pixels[i + 2])
      let values = [old.0, old.1, old.2]
      for channel in 0..<3 { pixels[i + channel] = values[order[channel]] }
    }
  }
}

/// The nearest byte; halves go to the even one.
func rounded(_ value: Float) -> UInt8 { UInt8(max(0, min(255, value.rounded(.toNearestOrEven)))) }

/// A pixel by hue (half degrees, 0 to 179), saturation and value (0 to 255), with the arithmetic of OpenCV's cvtColor for
/// bytes (imgproc/src/color_hsv).
struct HSVPixel: Equatable {
  var hue: UInt8
  var saturation: UInt8
  var value: UInt8

  init(_ hue: UInt8, _ saturation: UInt8, _ value: UInt8) {
    self.hue = hue
    self.saturation = saturation
    self.value = value
  }

  init(blue: UInt8, green: UInt8, red: UInt8) {
    let (b, g, r) = (Int(blue), Int(green), Int(red))
    let high = max(b, g, r)
    let range = high - min(b, g, r)
    value = UInt8(high)
    guard range > 0 else {
      (hue, saturation) = (0, 0)
      return
    }
    // Quotients in 1/4096, rounded.
    let perValue = Int((Double(255 << 12) / Double(high)).rounded(.toNearestOrEven))
    let perRange = Int((Double(180 << 12) / Double(6 * range)).rounded(.toNearestOrEven))
    saturation = UInt8((range * perValue + 2048) >> 12)
    let sixth = high == r ? g - b : high == g ? b - r + 2 * range : r - g + 4 * range
    let angle = (sixth * perRange + 2048) >> 12
    hue = UInt8(max(0, min(255, angle < 0 ? angle + 180 : angle)))
  }

  var bgr: (UInt8, UInt8, UInt8) {
    let v = Float(value) / 255
    let s = Float(saturation) / 255
    guard s > 0 else { return (value, value, value) }
    var h = Float(hue) * (6 / 180)
    while h >= 6 { h -= 6 }
    let sector = Int(h)
    h -= Float(sector)
    let table = (v, v * (1 - s), v * (1 - s * h), v * (1 - s * (1 - h)))
    let (b, g, r) =
      switch sector {
      case 0: (table.1, table.3, table.0)
      case 1: (table.1, table.0, table.2)
      case 2: (table.3, table.0, table.1)
      case 3: (table.0, table.2, table.1)
      case 4: (table.0, table.1, table.3)
      default: (table.2, table.1, table.0)
      }
    return (rounded(b * 255), rounded(g * 255), rounded(r * 255))
  }
}
