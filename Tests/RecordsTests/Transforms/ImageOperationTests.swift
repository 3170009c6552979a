import CaffeSchema
import Foundation
import Nets
import Tensors
import Testing

@testable import Records

@Suite struct ImageOperationTests {
  private let reference: OpenCVReference
  private let image: Image

  init() throws {
    reference = try OpenCVReference.read()
    image = Image(
      height: reference.image.height, width: reference.image.width, channels: 3, pixels: reference.image.pixels)
  }

  @Test(arguments: [
    ("linear", Interpolation.linear, 0), ("nearest", .nearest, 0), ("area", .area, 1), ("cubic", .cubic, 1),
    ("lanczos", .lanczos, 1),
  ])
  func resizesAsOpenCV(_ name: String, _ interpolation: Interpolation, _ tolerance: Int) throws {
    let cases = reference.resized.filter { $0.mode == name }
    #expect(cases.count == 7)
    for expected in cases {
      let resized = image.resized(height: expected.height, width: expected.width, by: interpolation)
      #expect(resized.height == expected.height && resized.width == expected.width)
      let worst = zip(resized.pixels, expected.pixels).map { abs(Int($0) - Int($1)) }.max() ?? 256
      #expect(worst <= tolerance, "\(name) to \(expected.height)x\(expected.width) differs by \(worst)")
    }
  }

  @Test func convertsToHueAndBack() {
    #expect(reference.hsv.count == 200)
    for expected in reference.hsv {
      let hsv = HSVPixel(blue: expected.bgr[0], green: expected.bgr[1], red: expected.bgr[2])
      #expect([hsv.hue, hsv.saturation, hsv.value] == expected.hsv, "of \(expected.bgr)")
      let back = HSVPixel(expected.changed[0], expected.changed[1], expected.changed[2]).bgr
      let worst = zip([back.0, back.1, back.2], expected.back).map { abs(Int($0) - Int($1)) }.max() ?? 256
      #expect(worst <= 1, "\(expected.changed) gives \(back), not \(expected.back)")
    }
  }

  /// Each field of `noise_param` alone does what SSD's calls of OpenCV do, byte for byte.
  @Test func addsNoiseAsOpenCV() throws {
    let pictures = try OpenCVReference.Noise.read().pictures
    #expect(pictures.map(\.results.count) == [9, 6, 6])
    for picture in pictures {
      let image = Image(
        height: picture.height, width: picture.width, channels: picture.channels, pixels: [UInt8](picture.pixels))
      for (field, expected) in picture.results {
        let text = #"layer { name: "d" type: "Data" top: "d" transform_param { noise_param { \#(field) } } }"#
        let layer = try NetSource(text: text, file: "net.prototxt").parameter.layer[0]
        let fields = LayerFields(parameter: layer, places: FieldPlaces(file: nil), phase: .train, paths: PathSearch())
        let noise = try #require(try ImageNoise(fields, channels: picture.channels))
        var dice = Dice(RandomStream(seed: 1), part: "noise")
        #expect(try noise.apply(image, &dice).pixels == [UInt8](expected), "\(field), \(picture.channels) channels")
      }
    }
  }

  @Test(arguments: [
    (Image.Padding.constant([7]), [7, 7, 1, 2, 3, 7]), (.nearest, [1, 1, 1, 2, 3, 3]), (.mirrored, [3, 2, 1, 2, 3, 2]),
  ])
  func pads(_ padding: Image.Padding, _ expected: [UInt8]) {
    let row = Image(height: 1, width: 3, channels: 1, pixels: [1, 2, 3])
    #expect(row.padded(top: 0, bottom: 0, left: 2, right: 1, padding).pixels == expected)
    let column = Image(height: 3, width: 1, channels: 1, pixels: [1, 2, 3])
    #expect(column.padded(top: 2, bottom: 1, left: 0, right: 0, padding).pixels == expected)
  }

  @Test func cutsAndMirrors() {
    let part = image.cropped(top: 2, left: 3, height: 4, width: 5)
    for (y, x, channel) in [(0, 0, 0), (3, 4, 2), (1, 2, 1)] {
      let expected = image.pixels[((y + 2) * image.width + x + 3) * 3 + channel]
      #expect(part.pixels[(y * 5 + x) * 3 + channel] == expected)
      #expect(part.mirrored.pixels[(y * 5 + 4 - x) * 3 + channel] == expected)
    }
  }

  @Test func cutsWindowsAsCaffe() throws {
    let bytes = try readFile("\(convertFixtures)/images/color.png".utf8)
    let image = try Image(decoding: bytes, as: .color)
    #expect(reference.windows.count == 48)
    for expected in reference.windows {
      var layer = LayerParameter()
      layer.transformParam.cropSize = UInt32(expected.size)
      layer.transformParam.meanValue = [104, 117, 123]
      layer.windowDataParam.scale = 0.5
      layer.windowDataParam.contextPad = UInt32(expected.pad)
      layer.windowDataParam.cropMode = expected.square ? "square" : "warp"
      let fields = LayerFields(
        parameter: layer, places: FieldPlaces(file: nil), phase: .train, paths: PathSearch())
      let crop = try WindowCrop(fields, channels: 3)
      let window = WindowFile.Window(
        image: 0, label: 1, x1: expected.box[0], y1: expected.box[1], x2: expected.box[2], y2: expected.box[3], line: 1)
      var values = [Float](repeating: -1, count: crop.count)
      try crop.write(window, of: image, isMirrored: expected.mirror, into: &values)
      let worst = zip(values, expected.values).map { abs($0 - $1) }.max() ?? .infinity
      #expect(
        values.count == expected.values.count && worst <= 1e-5,
        "window \(expected.box) to \(expected.size), pad \(expected.pad), differs by \(worst)")
    }
  }
}
