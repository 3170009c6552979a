import CaffeSchema
import Foundation
import Nets
import Testing

@testable import Records

/// Points follow the crop and the mirror of their pictures: in each picture one pixel shines, and the label says where.
@Suite struct LabelMotionTests {
  private let folder: TestFolder
  private let points = 3

  /// Record i: a picture of 8 x 8 with pixels 50, 100 and 150 at the points, and a label vector of their centres, a class
  /// of 3 from left to right, and two labels of the left and the right.
  init() throws {
    folder = try TestFolder()
    var lines: [String] = []
    for record in 0..<5 {
      let places = (0..<points).map { (x: 2 + (3 * $0 + record) % 4, y: 2 + (2 * $0 + record) % 4) }
      var pixels = [UInt8](repeating: 0, count: 64)
      for (index, place) in places.enumerated() { pixels[8 * place.y + place.x] = UInt8(50 * (index + 1)) }
      let image = Image(height: 8, width: 8, channels: 1, pixels: pixels)
      try folder.write(image.encoded(as: .png), to: "\(record).png")
      var labels: [Float] = []
      for place in places { labels += [(Float(place.x) + 0.5) / 8, (Float(place.y) + 0.5) / 8] }
      labels += [Float(record % 3), 7, 9]
      lines.append("\(record).png " + labels.map { "\($0)" }.joined(separator: " "))
    }
    try folder.write(lines.joined(separator: "\n"), to: "list.txt")
    var options = ConversionOptions(list: folder("list.txt"), target: .folder(folder("db")))
    options.isGray = true
    _ = try ConvertMultilabel(options).run()
  }

  private func pair(_ transform: String, _ points: String, shuffled: Bool = true) -> String {
    """
    layer { name: "pictures" type: "Data" top: "data" transform_param { \(transform) }
      data_param { source: "db/image" batch_size: 4 shuffle: \(shuffled) } }
    layer { name: "other name" type: "Data" top: "labels" transform_param { \(transform) points { \(points) } }
      data_param { source: "db/label" batch_size: 4 shuffle: \(shuffled) } }
    """
  }

  private let swapping = "count: 3 swap: 0 swap: 2 swap_labels: 7 swap_labels: 8 turn { label: 6 classes: 3 }"

  /// Which point shines at a label's place, in a picture of `side` x `side`.
  private func shining(_ picture: ArraySlice<Float>, _ side: Int, x: Float, y: Float) -> Int {
    let (column, row) = (Int((x * Float(side)).rounded(.down)), Int((y * Float(side)).rounded(.down)))
    guard (0..<side).contains(column), (0..<side).contains(row) else { return -1 }
    return Int(picture[picture.startIndex + row * side + column]) / 50 - 1
  }

  private func check(_ net: Net, side: Int, passes: Int) throws -> (plain: Int, mirrored: Int) {
    var (plain, mirrored) = (0, 0)
    for _ in 0..<passes {
      try net.forward()
      let pictures = try net.values(of: #require(net.blob("data")))
      let labels = try net.values(of: #require(net.blob("labels")))
      for record in 0..<4 {
        let picture = pictures[record * side * side..<(record + 1) * side * side]
        let label = Array(labels[record * 9..<(record + 1) * 9])
        let isMirrored = label[7] == 9
        if isMirrored { mirrored += 1 } else { plain += 1 }
        #expect(label[7] + label[8] == 16)
        for point in 0..<points {
          let shines = shining(picture, side, x: label[2 * point], y: label[2 * point + 1])
          // Points 0 and 2 have changed places. Some are cut off.
          let expected = isMirrored ? [2, 1, 0][point] : point
          let isInside = (0..<2).allSatisfy { label[2 * point + $0] > 0 && label[2 * point + $0] < 1 }
          #expect(shines == (isInside ? expected : -1))
        }
      }
    }
    return (plain, mirrored)
  }

  @Test func pointsFollowTheMirror() throws {
    let counts = try check(dataNet(pair("mirror: true", swapping), in: folder), side: 8, passes: 12)
    #expect(counts.plain > 12 && counts.mirrored > 12)
  }

  @Test(arguments: [Phase.train, .test]) func pointsFollowCropAndMirror(_ phase: Phase) throws {
    let text = pair("mirror: true crop_size: 5", swapping + " height: 8 width: 8")
    let counts = try check(dataNet(text, in: folder, phase: phase), side: 5, passes: 12)
    #expect(counts.plain > 12 && counts.mirrored > 12)
  }

  @Test func classesTurn() throws {
    let net = try dataNet(pair("mirror: true", swapping, shuffled: false), in: folder)
    var turned = 0
    for pass in 0..<5 {
      try net.forward()
      let labels = try net.values(of: #require(net.blob("labels")))
      for item in 0..<4 {
        let isMirrored = labels[9 * item + 7] == 9
        let own = Float((4 * pass + item) % 5 % 3)
        #expect(labels[9 * item + 6] == (isMirrored ? 2 - own : own))
        turned += isMirrored ? 1 : 0
      }
    }
    #expect(turned > 3)
  }

  @Test func aPassIsTheSameHoweverItIsReached() throws {
    let text = pair("mirror: true crop_size: 5", swapping + " height: 8 width: 8")
    let straight = try passes(9, of: dataNet(text, in: folder), "labels")
    let jumping = try dataNet(text, in: folder)
    for pass in [7, 2, 8] {
      jumping.clock.pass = pass
      #expect(try passes(1, of: jumping, "labels") == Array(straight[36 * pass..<36 * pass + 36]))
    }
    #expect(try passes(9, of: dataNet(text, in: folder, seed: 2), "labels") != straight)
  }

  @Test func imageDataMovesItsOwnLabels() throws {
    let text = """
      layer { name: "d" type: "ImageData" top: "data" top: "labels"
        transform_param { mirror: true crop_size: 5 points { \(swapping) } }
        image_data_param { source: "list.txt" batch_size: 4 is_color: false shuffle: true } }
      """
    let counts = try check(dataNet(text, in: folder), side: 5, passes: 12)
    #expect(counts.plain > 12 && counts.mirrored > 12)
  }

  /// Without `points` crops and mirrors of two layers are alike too: masks follow their images.
  @Test func layersOfANetDrawAlike() throws {
    let layer = { (name: String) in
      """
      layer { name: "\(name)" type: "Data" top: "\(name)" transform_param { mirror: true crop_size: 3 }
        data_param { source: "db/image" batch_size: 4 } }
      """
    }
    let net = try dataNet(layer("a") + layer("b"), in: folder)
    for _ in 0..<5 {
      try net.forward()
      #expect(try net.values(of: #require(net.blob("a"))) == net.values(of: #require(net.blob("b"))))
    }
  }

  /// The crop is that of the pictures, and no part of the labels.
  @Test func theCropTellsNothingOfAbsentLabels() throws {
    let data = pair("mirror: true crop_size: 5", swapping + " height: 8 width: 8").replacing("db/", with: "none/")
    let loss = """
      layer { name: "p" type: "InnerProduct" bottom: "data" top: "p" inner_product_param { num_output: 9 } }
      layer { name: "e" type: "EuclideanLoss" bottom: "p" bottom: "labels" top: "e" }
      """
    let shapes = try inferred(data + loss, in: folder).shapes
    #expect(shapes["data"]?.hasSuffix("x5x5") == true && shapes["labels"] == "4x9x1x1")
  }

  static let faults: [(transform: String, points: String, message: String)] = [
    ("mirror: true", "count: 5", "5 points are 10 labels, but the records have 9"),
    ("mirror: true", "count: 3 swap: 0 swap: 3", "swap names number 3, but the 3 points count from 0"),
    ("mirror: true", "count: 3 swap: 0", "swap names points two and two, each once"),
    (
      "mirror: true", "count: 3 turn { label: 5 classes: 3 }",
      "turn names label 5 with 3 classes; it takes a label from 6 to 8 with at least 2 classes"
    ),
    (
      "mirror: true crop_size: 5", "count: 3",
      "with a crop of 5x5 points need height and width of the pictures that it is cut from"
    ),
    ("mirror: true scale: 2", "count: 3", "scale is not supported: labels are moved, not changed as pictures are"),
  ]

  @Test(arguments: faults.indices) func tellsWhatIsWrong(_ index: Int) {
    let (transform, points, message) = Self.faults[index]
    #expect(fault(pair(transform, points), in: folder).contains(message))
  }

  @Test func tellsWhenPicturesMoveOtherwise() throws {
    let text = pair("mirror: true", swapping).replacing("transform_param { mirror: true }", with: "")
    let net = try dataNet(text, in: folder)
    let told = #expect(throws: (any Error).self) { try checkPairedDatabases(of: net.graph) }
    #expect(
      "\(try #require(told))".contains(
        "moves its points with mirror: true and no crop, but layer 'pictures' has mirror: false and no crop"))
    #expect(throws: Never.self) {
      try checkPairedDatabases(of: dataNet(pair("mirror: true", swapping), in: folder).graph)
    }
  }

  @Test func pointsArePartOfLabels() {
    let text =
      #"layer { name: "a" type: "Data" top: "a" transform_param { points { count: 1 } } "#
      + #"data_param { source: "db/image" batch_size: 4 } }"#
    #expect(fault(text, in: folder).contains("points are for records of labels, C x 1 x 1, but the first one is 1x8x8"))
  }
}
