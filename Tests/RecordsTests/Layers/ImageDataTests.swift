import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Testing

@testable import Records

@Suite struct ImageDataTests {
  private let folder: TestFolder

  /// Six grey pictures 3 high and 5 wide in a folder `pictures`: picture i is all 10 i.
  init() throws {
    folder = try TestFolder()
    try FileManager.default.createDirectory(atPath: folder("pictures"), withIntermediateDirectories: true)
    for index in 0..<6 {
      let image = Image(
        height: 3, width: 5, channels: 1, pixels: [UInt8](repeating: UInt8(10 * index), count: 15))
      try folder.write(image.encoded(as: .png), to: "pictures/\(index).png")
    }
    try folder.write((0..<6).map { "\($0).png \($0)\n" }.joined(), to: "list.txt")
  }

  private func layer(_ more: String = "", source: String = "list.txt", transform: String = "") -> String {
    """
    layer { name: "d" type: "ImageData" top: "data" top: "label"
      image_data_param { source: "\(source)" batch_size: 4 root_folder: "pictures/" is_color: false \(more) } \(transform) }
    """
  }

  @Test func readsTheListRoundAndRound() throws {
    let net = try dataNet(layer(), in: folder)
    #expect(net.blob("data")?.shape == [4, 1, 3, 5])
    #expect(net.blob("label")?.shape == [4])
    for pass in 0..<3 {
      let places = (4 * pass..<4 * pass + 4).map { Float($0 % 6) }
      #expect(try passes(1, of: net, "label") == places)
      #expect(
        try net.values(of: #require(net.blob("data"))) == places.flatMap { [Float](repeating: 10 * $0, count: 15) })
    }
  }

  @Test func shufflesEachRound() throws {
    let net = try dataNet(layer("shuffle: true"), in: folder)
    let labels = try passes(6, of: net, "label")
    let rounds = (0..<4).map { Array(labels[(6 * $0)..<(6 * $0 + 6)]) }
    #expect(rounds.allSatisfy { $0.sorted() == (0..<6).map(Float.init) })
    #expect(Set(rounds).count > 1)
    let jumping = try dataNet(layer("shuffle: true"), in: folder)
    for pass in [4, 1, 5] {
      jumping.clock.pass = pass
      #expect(try passes(1, of: jumping, "label") == Array(labels[(4 * pass)..<(4 * pass + 4)]))
    }
  }

  @Test func skipsAtRandom() throws {
    let starts = try (0..<12).map { seed in
      try passes(1, of: dataNet(layer("rand_skip: 3"), in: folder, seed: UInt64(seed)), "label")[0]
    }
    #expect(Set(starts) == [0, 1, 2])
  }

  @Test func severalLabelsOfALine() throws {
    // 40 labels a line, one of them missing.
    let lines = (0..<6).map { (index: Int) -> String in
      let labels = (0..<40).map { (label: Int) -> String in
        label == 7 && index == 2 ? "?" : String(Float(index) + Float(label) / 64)
      }
      return "\(index).png " + labels.joined(separator: " ")
    }
    try folder.write(lines.joined(separator: "\n"), to: "many.txt")
    let net = try dataNet(layer(source: "many.txt"), in: folder)
    #expect(net.blob("label")?.shape == [4, 40])
    let labels = try passes(1, of: net, "label")
    for (place, label) in labels.enumerated() {
      if place == 87 { #expect(label.isNaN) } else { #expect(label == Float(place / 40) + Float(place % 40) / 64) }
    }
    #expect(
      try inferred(layer("label_num: 40", source: "none.txt"), in: folder).shapes["label"] == "4x40")
  }

  @Test func pathsMayHoldBlanks() throws {
    try FileManager.default.copyItem(atPath: folder("pictures/5.png"), toPath: folder("pictures/my 5.png"))
    try FileManager.default.copyItem(atPath: folder("pictures/4.png"), toPath: folder("pictures/my"))
    try folder.write("my 5.png 3\n\"my\" 4\nmy 2\n", to: "blanks.txt")
    let net = try dataNet(layer(source: "blanks.txt"), in: folder)
    #expect(try passes(1, of: net, "label") == [3, 4, 2, 3])
    #expect(try net.values(of: #require(net.blob("data")))[0] == 50)
  }

  @Test func resizesAndDecodesAsTold() throws {
    let net = try dataNet(
      layer("new_height: 4 new_width: 6", transform: "transform_param { scale: 0.5 mean_value: 10 crop_size: 4 }")
        .replacing("is_color: false", with: ""), in: folder)
    #expect(net.blob("data")?.shape == [4, 3, 4, 4])
    let first = [Float](repeating: -5, count: 48) + [Float](repeating: 0, count: 48)
    #expect(try Array(passes(1, of: net, "data").prefix(96)) == first)
  }

  @Test func aCropTakesImagesOfAnySize() throws {
    try folder.write(
      Image(height: 4, width: 3, channels: 1, pixels: [UInt8](repeating: 99, count: 12)).encoded(as: .png),
      to: "pictures/1.png")
    let net = try dataNet(layer(transform: "transform_param { crop_size: 3 }"), in: folder)
    let values = try passes(1, of: net, "data")
    #expect(Array(values[9..<18]) == [Float](repeating: 99, count: 9))
    #expect(
      fault(layer(transform: "transform_param { crop_size: 3 }"), in: folder, passes: 1) == "no fault")
    #expect(
      fault(layer(), in: folder, passes: 1)
        == "WORK/list.txt:2: error: layer 'd' (ImageData): image 'WORK/pictures/1.png': is 1x4x3, but the first record is "
        + "1x3x5; all must have one shape")
  }

  // MARK: Shapes without files

  @Test(arguments: [
    ("", "", "4x1x224x224", false), ("new_height: 30 new_width: 40", "", "4x1x30x40", true),
    ("new_height: 30 new_width: 40", "transform_param { crop_size: 28 }", "4x1x28x28", true),
    ("", "transform_param { crop_h: 9 crop_w: 8 }", "4x1x9x8", true),
    ("", "transform_param { resize_param { height: 9 width: 8 } }", "4x1x9x8", true),
  ])
  func shapesWithoutTheList(_ more: String, _ transform: String, _ shape: String, _ isKnown: Bool) throws {
    let (shapes, areKnown) = try inferred(layer(more, source: "none.txt", transform: transform), in: folder)
    #expect(shapes == ["data": shape, "label": "4"])
    #expect(areKnown == isKnown)
  }

  // MARK: Faults

  @Test func listsWithFaults() throws {
    let place = "WORK/net.prototxt:2:22: error: layer 'd' (ImageData): "
    #expect(
      fault(layer(source: "none.txt"), in: folder) == place + "cannot read the list 'none.txt': there is no such file")
    try folder.write("0.png 1\n1.png\n2.png 1 2\n", to: "bad.txt")
    #expect(
      fault(layer(source: "bad.txt"), in: folder)
        == "WORK/bad.txt:2: error: there is no label after the path\n"
        + "WORK/bad.txt:3: error: the line has 2 labels, but line 1 has 1")
    try folder.write("0.png 1\n8.png 1\n1.png 2\n9.png 1", to: "gone.txt")
    #expect(
      fault(layer(source: "gone.txt"), in: folder)
        == "WORK/gone.txt:2: error: layer 'd' (ImageData): 2 of 4 images are missing; the first is 'WORK/pictures/8.png'"
    )
    try folder.write("no picture", to: "pictures/1.png")
    #expect(
      fault(layer(), in: folder, passes: 1).hasPrefix(
        "WORK/list.txt:2: error: layer 'd' (ImageData): image 'WORK/pictures/1.png': "))
  }

  @Test(arguments: [
    ("new_height: 3", "2:96", "give both new_height and new_width, or neither"),
    ("pair_size: 2", "2:96", "pair_size is not supported: a line names one image"),
    (
      "bicubic: true", "2:96",
      "bicubic is not supported: new_height and new_width resize bilinearly; resize_param has CUBIC"
    ),
  ])
  func fieldsThatCannotBe(_ more: String, _ place: String, _ message: String) {
    #expect(
      fault(layer(more), in: folder) == "WORK/net.prototxt:\(place): error: layer 'd' (ImageData): \(message)")
  }
}
