import Diagnostics
import Foundation
import Nets
import Testing

@testable import Records

@Suite struct WindowDataTests {
  private let folder: TestFolder

  /// Two pictures, all 50 and all 90, each with a foreground window (classes 3 and 4) and two of background.
  init() throws {
    folder = try TestFolder()
    for (name, value) in [("a.png", 50), ("b.png", 90)] {
      let pixels = [UInt8](repeating: UInt8(value), count: 10 * 12 * 3)
      try folder.write(Image(height: 10, width: 12, channels: 3, pixels: pixels).encoded(as: .png), to: name)
    }
    try folder.write(
      """
      # 0
      a.png
      3
      10
      12
      4
      3 0.9 1 1 8 8
      5 0.2 0 0 3 3
      5 0.55 0 0 3 3
      5 0.1 2 2 11 9
      # 1
      b.png 3 10 12 2
      4 0.7 0 0 11 9
      1 0 4 4 6 6

      """, to: "windows.txt")
  }

  private func layer(_ more: String = "", transform: String = "crop_size: 4", source: String = "windows.txt") -> String
  {
    """
    layer { name: "w" type: "WindowData" top: "data" top: "label"
      window_data_param { source: "\(source)" batch_size: 8 fg_threshold: 0.6 \(more) }
      transform_param { \(transform) } }
    """
  }

  @Test func readsTheFile() throws {
    let file = try WindowFile(path: folder("windows.txt"), foregroundFrom: 0.6, backgroundBelow: 0.5)
    #expect(file.images == ["a.png", "b.png"])
    #expect(file.channels == 3)
    #expect(
      file.foreground == [
        .init(image: 0, label: 3, x1: 1, y1: 1, x2: 8, y2: 8, line: 7),
        .init(image: 1, label: 4, x1: 0, y1: 0, x2: 11, y2: 9, line: 13),
      ])
    #expect(file.background.map(\.line) == [8, 10, 14])
    #expect(file.background.allSatisfy { $0.label == 0 })
  }

  @Test func drawsBackgroundThenForeground() throws {
    let net = try dataNet(layer(), in: folder)
    #expect(net.blob("data")?.shape == [8, 3, 4, 4])
    var labels: Set<Float> = []
    for _ in 0..<10 {
      let batch = try passes(1, of: net, "label")
      #expect(batch.prefix(6) == [0, 0, 0, 0, 0, 0])
      labels.formUnion(batch.suffix(2))
      let values = try net.values(of: #require(net.blob("data")))
      for (item, label) in batch.enumerated() where label > 0 {
        let expected = [Float](repeating: label == 3 ? 50 : 90, count: 48)
        #expect(Array(values[48 * item..<48 * item + 48]) == expected)
      }
    }
    #expect(labels == [3, 4])
  }

  @Test func aPassIsTheSameHoweverItIsReached() throws {
    let text = layer(
      "context_pad: 1 crop_mode: 'square'", transform: "crop_size: 4 mirror: true scale: 0.5 mean_value: 10")
    let net = try dataNet(text, in: folder)
    let all = try (0..<6).map { _ in try passes(1, of: net, "data") }
    #expect(Set(all).count == 6)
    // (50 - 10) / 2, (90 - 10) / 2, and what lies outside the picture.
    #expect(Set(all.joined()) == [0, 20, 40])
    let jumping = try dataNet(text, in: folder)
    for pass in [4, 0, 3] {
      jumping.clock.pass = pass
      #expect(try passes(1, of: jumping, "data") == all[pass])
    }
  }

  @Test func shapesWithoutTheFile() throws {
    let (shapes, areKnown) = try inferred(layer(source: "none.txt"), in: folder)
    #expect(shapes == ["data": "8x3x4x4", "label": "8"])
    #expect(!areKnown)
  }

  // MARK: Faults

  @Test func windowFilesWithFaults() throws {
    let cases: [(text: String, message: String)] = [
      (
        "", "WORK/net.prototxt:2:23: error: layer 'w' (WindowData): the window file 'WORK/bad.txt' is empty"
      ),
      ("a.png", "WORK/bad.txt:1: error: layer 'w' (WindowData): 'a.png' stands where an image must begin with '#'"),
      ("# 0\na.png\n3 10", "WORK/bad.txt:3: error: layer 'w' (WindowData): the file ends before the width of 'a.png'"),
      (
        "# 0\na.png 3 10 12 1\n\n3 x 1 1 2 2",
        "WORK/bad.txt:4: error: layer 'w' (WindowData): the overlap of a window, 'x', is not a number"
      ),
      (
        "# 0\na.png 3 10 12 1\n0 0.9 1 1 2 2",
        "WORK/bad.txt:3: error: layer 'w' (WindowData): a window with overlap 0.9 is foreground, but its class is 0"
      ),
      (
        "# 0\na.png 3 10 12 1\n1 0.9 1 1 2 2",
        "WORK/net.prototxt:2:23: error: layer 'w' (WindowData): 'WORK/bad.txt' holds no background window, but each batch "
          + "needs 6; see fg_fraction and the thresholds"
      ),
      (
        "# 0\na.png 3 10 12 2\n1 0.9 1 1 2 2\n1 0 3 3 12 9",
        "WORK/bad.txt:4: error: layer 'w' (WindowData): image 'WORK/a.png': the window (3, 3) to (12, 9) lies outside it; "
          + "it is 10 high and 12 wide"
      ),
      (
        "# 0\nc.png 3 10 12 2\n1 0.9 1 1 2 2\n1 0 3 3 9 9",
        "WORK/bad.txt:4: error: layer 'w' (WindowData): image 'c.png': there is no such file"
      ),
    ]
    for (text, message) in cases {
      try folder.write(text, to: "bad.txt")
      #expect(fault(layer(source: "bad.txt"), in: folder, passes: 1) == message)
    }
  }

  @Test(arguments: [
    ("", "", "3:3", "crop_size is missing; windows are warped to it"),
    ("context_pad: 2", "crop_size: 4", "2:77", "context_pad 2 leaves nothing of crop_size 4 for the window"),
    ("crop_mode: 'round'", "crop_size: 4", "2:77", "crop_mode is 'warp' or 'square', not 'round'"),
    ("fg_fraction: 2", "crop_size: 4", "2:77", "fg_fraction must be from 0 to 1"),
  ])
  func fieldsThatCannotBe(_ more: String, _ transform: String, _ place: String, _ message: String) {
    #expect(
      fault(layer(more, transform: transform), in: folder)
        == "WORK/net.prototxt:\(place): error: layer 'w' (WindowData): \(message)")
  }
}
