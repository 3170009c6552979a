import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// What SSD's `noise_param` does to a picture once it is resized, in this order: `decolorize`, `gauss_blur` (7 x 7, deviation
/// 1.5), `hist_eq`, `clahe` (8 x 8 tiles, limit 4), `jpeg` (a quality), `erode` (by a cross of 3 x 3), `posterize` (to 4
/// values), `inverse`, `saltpepper`, `convert_to_hsv`. Histograms are of the brightness alone.
///
/// The order and the constants are those of SSD's im_transforms, and the arithmetic that of OpenCV for bytes. All is done to
/// every picture, as SSD does it whatever `prob` says, unless `prob` is given: then with that probability.
struct ImageNoise: Sendable {
  private let param: NoiseParameter
  /// A value for each channel.
  private let salt: [UInt8]

  /// - Parameter channels: of the pictures.
  /// - Returns: nil when nothing is to be done.
  /// - Throws: a fault of the layer for what cannot be followed.
  init?(_ fields: LayerFields, channels: Int) throws {
    let all = fields.parameter.transformParam.noiseParam
    guard let param = all.first else { return nil }
    let place = "transform_param.noise_param[0]"
    try fields.refuse(all.count > 1, "transform_param.noise_param[1]", "give one noise_param")
    for (isGiven, name) in [
      (param.hasGaussianStd, "gaussian_std"), (param.hasSigma, "sigma"), (param.hasUniformRange, "uniform_range"),
      (param.hasBias, "bias"), (param.hasOption, "option"), (param.hasActive, "active"),
      (param.hasRandomSeed, "random_seed"), (param.saltpepperParam.type == .absolute, "saltpepper_param.type"),
    ] { try fields.refuse(isGiven, "\(place).\(name)", "pictures are changed as by SSD") }
    try fields.refuse(
      param.convertToLab, "\(place).convert_to_lab", "SSD itself goes on with the bytes of floating-point numbers")
    guard !param.convertToHsv || channels == 3 else {
      throw fields.fault("grey pictures have no hue", at: "\(place).convert_to_hsv")
    }
    guard param.jpeg <= 100 else { throw fields.fault("jpeg is a quality of at most 100", at: "\(place).jpeg") }
    let fraction = param.saltpepperParam.fraction
    guard fraction >= 0, fraction <= 1 else {
      throw fields.fault("fraction must be from 0 to 1", at: "\(place).saltpepper_param.fraction")
    }
    let values = param.saltpepperParam.value
    guard !param.saltpepper || values.count == 1 || values.count == channels else {
      throw fields.fault(
        "saltpepper needs saltpepper_param { value }: one, or one for each of \(channels) channels",
        at: "\(place).saltpepper")
    }
    salt = (0..<channels).map { values.isEmpty ? 0 : rounded(values[values.count == 1 ? 0 : $0]) }
    self.param = param
  }

  /// - Throws: where the picture is too large to be written as a JPEG.
  func apply(_ image: Image, _ dice: inout Dice) throws(Preparation.Misfit) -> Image {
    guard !param.hasProb || dice.happens(param.prob) else { return image }
    var image = image
    if param.decolorize { image = image.grey }
    if param.gaussBlur { image = image.blurred }
    if param.histEq { image = image.changingBrightness(\.equalized) }
    if param.clahe { image = image.changingBrightness(\.equalizedByTiles) }
    if param.jpeg > 0 {
      do {
        let channels: ImageChannels = image.channels == 3 ? .color : .gray
        image = try Image(decoding: image.encodedAsJPEG(quality: Int(param.jpeg)), as: channels)
      } catch {
        throw Preparation.Misfit(
          reason: "cannot be written as a JPEG: \((error as? Diagnostic)?.message ?? "\(error)")")
      }
    }
    if param.erode { image = image.eroded }
    if param.posterize { image = image.mapped { $0 / 64 * 64 + 32 } }
    if param.inverse { image = image.mapped { 255 - $0 } }
    if param.saltpepper { image = salted(image, &dice) }
    return param.convertToHsv ? image.inHSV : image
  }

  private func salted(_ image: Image, _ dice: inout Dice) -> Image {
    var pixels = image.pixels
    let count = Int(param.saltpepperParam.fraction * Float(image.width * image.height))
    for _ in 0..<count {
      let column = dice.integer(below: image.width)
      let start = (dice.integer(below: image.height) * image.width + column) * image.channels
      for channel in 0..<image.channels { pixels[start + channel] = salt[channel] }
    }
    return image.with(pixels)
  }
}

extension Image {
  fileprivate func with(_ pixels: [UInt8]) -> Image {
    Image(height: height, width: width, channels: channels, pixels: pixels)
  }

  fileprivate func mapped(_ change: (UInt8) -> UInt8) -> Image {
    let table = (0...255).map { change(UInt8($0)) }
    return with(pixels.map { table[Int($0)] })
  }

  /// With its channels alike.
  var grey: Image {
    guard channels == 3 else { return self }
    var result = pixels
    for i in stride(from: 0, to: pixels.count, by: 3) {
      let value = brightness(pixels, i)
      (result[i], result[i + 1], result[i + 2]) = (value, value, value)
    }
    return with(result)
  }

  var inHSV: Image {
    var result = pixels
    for i in stride(from: 0, to: pixels.count, by: 3) {
      let hsv = HSVPixel(blue: pixels[i], green: pixels[i + 1], red: pixels[i + 2])
      (result[i], result[i + 1], result[i + 2]) = (hsv.hue, hsv.saturation, hsv.value)
    }
    return with(result)
  }

  /// OpenCV's GaussianBlur of 7 x 7 with deviation 1.5, whose weights are these over 256; mirrored at the sides.
  var blurred: Image {
    let weights: [Int32] = [9, 29, 55, 70, 55, 29, 9]
    let framed = padded(top: 3, bottom: 3, left: 3, right: 3, .mirrored)
    let row = framed.width * channels
    var across = [Int32](repeating: 0, count: framed.height * width * channels)
    for y in 0..<framed.height {
      for x in 0..<width * channels {
        var sum: Int32 = 0
        for k in 0..<7 { sum += weights[k] * Int32(framed.pixels[y * row + x + k * channels]) }
        across[y * width * channels + x] = sum
      }
    }
    var result = pixels
    for i in result.indices {
      var sum: Int32 = 1 << 15
      for k in 0..<7 { sum += weights[k] * across[i + k * width * channels] }
      result[i] = UInt8(sum >> 16)
    }
    return with(result)
  }

  /// The least of each pixel and its four neighbours.
  var eroded: Image {
    var result = pixels
    let row = width * channels
    for i in result.indices {
      let column = i % row
      if i >= row { result[i] = min(result[i], pixels[i - row]) }
      if i + row < pixels.count { result[i] = min(result[i], pixels[i + row]) }
      if column >= channels { result[i] = min(result[i], pixels[i - channels]) }
      if column + channels < row { result[i] = min(result[i], pixels[i + channels]) }
    }
    return with(result)
  }

  /// With the brightness of each pixel (Y of YCrCb) changed and its colour kept.
  func changingBrightness(_ change: (Brightness) -> Brightness) -> Image {
    guard channels == 3 else {
      return with(change(Brightness(height: height, width: width, values: pixels)).values)
    }
    let old = stride(from: 0, to: pixels.count, by: 3).map { brightness(pixels, $0) }
    let new = change(Brightness(height: height, width: width, values: old)).values
    var result = pixels
    for (i, y) in old.enumerated() {
      // In 1/16384, as OpenCV has them for bytes.
      let half = 1 << 13
      let (blue, red) = (Int(pixels[3 * i]) - Int(y), Int(pixels[3 * i + 2]) - Int(y))
      let cb = Int(byte((9241 * blue + (128 << 14) + half) >> 14)) - 128
      let cr = Int(byte((11682 * red + (128 << 14) + half) >> 14)) - 128
      let luma = Int(new[i])
      result[3 * i] = byte(luma + ((29049 * cb + half) >> 14))
      result[3 * i + 1] = byte(luma + ((-5636 * cb - 11698 * cr + half) >> 14))
      result[3 * i + 2] = byte(luma + ((22987 * cr + half) >> 14))
    }
    return with(result)
  }
}

/// 0.114 blue + 0.587 green + 0.299 red of the pixel at `i`.
private func brightness(_ pixels: [UInt8], _ i: Int) -> UInt8 {
  let (blue, green, red) = (Int(pixels[i]), Int(pixels[i + 1]), Int(pixels[i + 2]))
  return UInt8((1868 * blue + 9617 * green + 4899 * red + 8192) >> 14)
}

private func byte(_ value: Int) -> UInt8 { UInt8(max(0, min(255, value))) }
