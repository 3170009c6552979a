import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Tensors
import Testing

@testable import Records

/// The fields that SSD added to `transform_param`, through an ImageData layer over a picture of three grey bands.
@Suite struct AugmentationTests {
  private let folder: TestFolder

  init() throws {
    folder = try TestFolder()
    // 6 high, 4 wide: the upper half 40, the lower half 200.
    let pixels = (0..<6).flatMap { [UInt8](repeating: $0 < 3 ? 40 : 200, count: 4) }
    try folder.write(Image(height: 6, width: 4, channels: 1, pixels: pixels).encoded(as: .png), to: "a.png")
    let colors: [UInt8] = (0..<24).flatMap { _ in [30, 60, 120] as [UInt8] }
    try folder.write(Image(height: 6, width: 4, channels: 3, pixels: colors).encoded(as: .png), to: "c.png")
    try folder.write("a.png 1\n", to: "list.txt")
    try folder.write("c.png 1\n", to: "colors.txt")
  }

  private func layer(_ transform: String, list: String = "list.txt", isColor: Bool = false) -> String {
    """
    layer { name: "d" type: "ImageData" top: "data"
      image_data_param { source: "\(list)" batch_size: 1 is_color: \(isColor) }
      transform_param { \(transform) } }
    """
  }

  private func values(_ transform: String, passes count: Int = 1, list: String = "list.txt") throws -> [[Float]] {
    let net = try dataNet(layer(transform, list: list, isColor: list == "colors.txt"), in: folder)
    return try (0..<count).map { _ in try passes(1, of: net, "data") }
  }

  @Test func warps() throws {
    let net = try dataNet(layer("resize_param { height: 2 width: 3 interp_mode: NEAREST }"), in: folder)
    #expect(net.blob("data")?.shape == [1, 1, 2, 3])
    #expect(try passes(1, of: net, "data") == [40, 40, 40, 200, 200, 200])
  }

  @Test func fitsAndPads() throws {
    let text =
      "resize_param { resize_mode: FIT_LARGE_SIZE_AND_PAD height: 3 width: 6 interp_mode: NEAREST pad_value: 9 }"
    // 3 high leaves 2 columns for the picture, and 2 on each side.
    let row: (Float) -> [Float] = { [9, 9, $0, $0, 9, 9] }
    #expect(try values(text) == [row(40) + row(200) + row(200)] || values(text) == [row(40) + row(40) + row(200)])
    let mirrored = text.replacing("pad_value: 9", with: "pad_mode: REPEAT_NEAREST")
    let result = try values(mirrored)[0]
    #expect(result.prefix(6) == [40, 40, 40, 40, 40, 40])
    #expect(result.suffix(6) == [200, 200, 200, 200, 200, 200])
  }

  @Test func fitsTheSmallSideForACrop() throws {
    let text = "crop_h: 2 crop_w: 2 resize_param { resize_mode: FIT_SMALL_SIZE height: 2 width: 2 interp_mode: AREA }"
    let net = try dataNet(layer(text), in: folder, phase: .test)
    #expect(net.blob("data")?.shape == [1, 1, 2, 2])
    // 3x2 after resizing, rows 40, 120, 200; the crop takes the upper two in TEST, as (3 - 2) / 2 is 0.
    #expect(try passes(1, of: net, "data") == [40, 40, 120, 120])
  }

  @Test func drawsOneOfSeveralInterpolations() throws {
    let text = "resize_param { height: 5 width: 4 interp_mode: NEAREST interp_mode: LINEAR interp_mode: CUBIC }"
    let all = try values(text, passes: 30)
    #expect(Set(all).count == 3)
    #expect(try values(text, passes: 30) == all)
  }

  @Test func distortsWithinItsRanges() throws {
    let brightness = try values(
      "distort_param { brightness_prob: 0.5 brightness_delta: 20 }", passes: 40
    ).map { $0[0] }
    #expect(brightness.allSatisfy { (20...60).contains($0) })
    #expect((8...32).contains(brightness.count { $0 == 40 }))
    #expect(Set(brightness).count > 8)
    let contrast = try values(
      "distort_param { contrast_prob: 1 contrast_lower: 0.5 contrast_upper: 1.5 }", passes: 40)
    #expect(contrast.allSatisfy { (20...60).contains($0[0]) && abs(min(255, 5 * $0[0]) - $0[23]) <= 3 })
    #expect(Set(contrast.map { $0[0] }).count > 8)
  }

  /// The colour 30, 60, 120 has hue 10 (half degrees), saturation 191 and value 120.
  @Test func distortsColors() throws {
    func colors(_ fields: String) throws -> [(blue: Float, green: Float, red: Float)] {
      try values("distort_param { \(fields) }", passes: 40, list: "colors.txt").map { ($0[0], $0[24], $0[48]) }
    }
    let saturation = try colors("saturation_prob: 1 saturation_lower: 0.5 saturation_upper: 1")
    #expect(saturation.allSatisfy { $0.red == 120 && (29...76).contains($0.blue) && $0.green > $0.blue })
    #expect(Set(saturation.map(\.blue)).count > 8)
    let hue = try colors("hue_prob: 1 hue_delta: 8")
    #expect(hue.allSatisfy { $0.red == 120 && $0.blue == 30 && (36...84).contains($0.green) })
    #expect(Set(hue.map(\.green)).count > 8)
    let order = try colors("random_order_prob: 1")
    #expect(order.allSatisfy { Set([$0.blue, $0.green, $0.red]) == [30, 60, 120] })
    #expect(Set(order.map { [$0.blue, $0.green, $0.red] }).count == 6)
  }

  @Test func expandsOntoTheMean() throws {
    let text = "mean_value: 100 expand_param { prob: 1 max_expand_ratio: 4 } resize_param { height: 24 width: 16 }"
    for values in try values(text, passes: 20) {
      // The canvas is 0 once the mean is taken; of 384 pixels at least 24 remain of the picture.
      #expect(values.contains(-60) || values.contains { $0 < 0 })
      #expect(values.max().map { $0 <= 100 } == true && values.min().map { $0 >= -60 } == true)
    }
    let areas = try values(text, passes: 20).map { $0.count { $0 == 0 } }
    #expect(Set(areas).count > 8)
  }

  @Test func framesFollowThePicture() {
    let half = BoxFrame(window: Box(xmin: 0.5, ymin: 0, xmax: 1, ymax: 0.5))
    #expect(
      half.move(Box(xmin: 0.5, ymin: 0.25, xmax: 0.75, ymax: 0.5)) == Box(xmin: 0, ymin: 0.5, xmax: 0.5, ymax: 1))
  }

  @Test func noiseIsAddedWithItsProbability() throws {
    let plain = try values("", passes: 1)[0]
    let inverse = plain.map { 255 - $0 }
    #expect(try values("noise_param { inverse: true }", passes: 3) == [inverse, inverse, inverse])
    #expect(try values("noise_param { inverse: true prob: 0 }", passes: 3) == [plain, plain, plain])
    let sometimes = try values("noise_param { inverse: true prob: 0.5 }", passes: 40)
    #expect((8...32).contains(sometimes.count { $0 == inverse }))
    #expect(sometimes.allSatisfy { $0 == inverse || $0 == plain })
  }

  @Test func saltIsStrewn() throws {
    let text = "noise_param { saltpepper: true saltpepper_param { fraction: 0.25 value: 7 } }"
    // 6 places of 24 are drawn, maybe one of them twice.
    let counts = try values(text, passes: 20).map { $0.count { $0 == 7 } }
    #expect(counts.allSatisfy { (1...6).contains($0) } && counts.contains(6))
    let colors = try values(text.replacing("value: 7", with: "value: [1, 2, 3]"), list: "colors.txt")[0]
    #expect(colors.count { $0 == 1 } == colors.count { $0 == 3 } && colors.contains(2))
  }

  // MARK: Faults

  @Test(arguments: [
    ("resize_param { height: 2 }", "3:21", "height and width of resize_param must be at least 1"),
    (
      "resize_param { height: 2 width: 2 prob: 0.5 }", "3:55",
      "prob is not supported: below 1 it would leave pictures of several sizes"
    ),
    (
      "resize_param { height: 2 width: 2 } resize_param { height: 3 width: 3 }", "3:57",
      "resize_param[1] is not supported: give one resize_param"
    ),
    (
      "resize_param { height: 2 width: 2 resize_mode: FIT_SMALL_SIZE }", "3:55",
      "gives images of several sizes; add crop_size to make them one"
    ),
    (
      "expand_param { max_expand_ratio: 2 }", "3:21", "gives images of several sizes; add resize_param to make them one"
    ),
    ("expand_param { max_expand_ratio: 0.5 }", "3:36", "max_expand_ratio must be at least 1"),
    (
      "distort_param { contrast_prob: 1 contrast_lower: 2 contrast_upper: 1 }", "3:54",
      "contrast_lower must be from 0 to contrast_upper"
    ),
    ("crop_h: 2", "3:21", "give both sides of the crop, or crop_size for a square"),
    ("crop_size: 2 crop_h: 2 crop_w: 2", "3:34", "give crop_size or crop_h, not both"),
    ("crop_size: 5", "3:21", "crop_size 5 is larger than the records, 1x6x4"),
    ("crop_height: 7 crop_width: 2", "3:21", "the crop of 7x2 is larger than the records, 1x6x4"),
    ("noise_param { convert_to_hsv: true }", "3:35", "grey pictures have no hue"),
    (
      "noise_param { convert_to_lab: true }", "3:35",
      "convert_to_lab is not supported: SSD itself goes on with the bytes of floating-point numbers"
    ),
    (
      "noise_param { saltpepper: true }", "3:35",
      "saltpepper needs saltpepper_param { value }: one, or one for each of 1 channels"
    ),
    ("color_order: RGB", "3:21", "color_order is not supported: channels come as blue, green, red"),
    (
      "random_resize_param { min_size: 3 }", "3:21",
      "random_resize_param is not supported: pictures are resized by resize_param alone"
    ),
  ])
  func faults(_ transform: String, _ place: String, _ message: String) {
    #expect(
      fault(layer(transform), in: folder)
        == "WORK/net.prototxt:\(place): error: layer 'd' (ImageData): \(message)")
  }

  @Test func fieldsWithoutEffectAreReported() throws {
    let net = try dataNet(layer("use_gpu_transform: true emit_constraint { emit_type: CENTER }"), in: folder)
    #expect(
      (net.source.warnings + net.graph.warnings).map { "\($0)".replacing(folder.path, with: "WORK") } == [
        "WORK/net.prototxt:3:21: warning: layer 'd' (ImageData): use_gpu_transform of transform_param has no effect here: "
          + "it tunes another program and changes no result",
        "WORK/net.prototxt:3:45: warning: layer 'd' (ImageData): emit_constraint has no effect: the records have no boxes",
      ])
  }

  @Test func recordsThatAreNoPictures() throws {
    try FileManager.default.createDirectory(atPath: folder("db"), withIntermediateDirectories: true)
    let writer = try LMDBWriter(folder: folder("db"))
    var datum = Datum()
    (datum.channels, datum.height, datum.width) = (1, 2, 2)
    datum.floatData = [1, 2, 3, 4]
    try writer.put(key: Array("0".utf8), value: Array(datum.serializedData()))
    try writer.finish()
    let text =
      #"layer { name: "d" type: "Data" top: "d" data_param { source: "db" batch_size: 1 } "#
      + "transform_param { resize_param { height: 1 width: 1 } } }"
    #expect(
      fault(text, in: folder, passes: 1)
        == "error: layer 'd' (Data): record '0' of database 'WORK/db' is 1x2x2 and no picture of 1 or 3 channels of bytes, "
        + "as the fields of transform_param need")
  }
}
