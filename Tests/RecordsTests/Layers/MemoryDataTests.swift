import Diagnostics
import Nets
import Tensors
import Testing

@testable import Records

@Suite struct MemoryDataTests {
  private let folder: TestFolder

  init() throws { folder = try TestFolder() }

  private func layer(_ transform: String = "", top: String = #"top: "label""#) -> String {
    """
    layer { name: "m" type: "MemoryData" top: "data" \(top) \(transform)
      memory_data_param { batch_size: 2 channels: 1 height: 1 width: 3 } }
    """
  }

  private let records = (0..<12).map(Float.init)

  @Test func givesWhatItWasFed() throws {
    let net = try dataNet(layer(), in: folder)
    try net.feed(records: records, shape: [4, 1, 1, 3], labels: [7, 8, 9, 10], toLayer: "m")
    #expect(try passes(3, of: net, "data") == records + records.prefix(6))
    #expect(try net.values(of: #require(net.blob("label"))) == [7, 8])
    try net.feed(records: [1, 1, 1, 2, 2, 2], shape: [2, 1, 1, 3], labels: [0, 1], toLayer: "m")
    #expect(try passes(1, of: net, "data") == [1, 1, 1, 2, 2, 2])
  }

  @Test func transformsWhatItWasFed() throws {
    let net = try dataNet(
      layer("transform_param { scale: 2 mean_value: 1 crop_h: 1 crop_w: 3 }"), in: folder, phase: .test)
    try net.feed(records: (0..<30).map(Float.init), shape: [2, 1, 3, 5], labels: [0, 1], toLayer: "m")
    #expect(try passes(1, of: net, "data") == [10, 12, 14, 40, 42, 44])
  }

  @Test func faults() throws {
    let prefix = "WORK/net.prototxt:2:3: error: layer 'm' (MemoryData): "
    #expect(
      fault(layer(), in: folder, passes: 1)
        == prefix
        + "has nothing to give: its records come from the program that holds the net; in a prototxt that is run "
        + "from the command line, use an HDF5Data, ImageData or Data layer instead")
    let net = try dataNet(layer(), in: folder)
    func message(_ records: Int, _ shape: [Int], labels: Int, layer: String = "m") -> String {
      do {
        try net.feed(
          records: [Float](repeating: 0, count: records), shape: Shape(shape),
          labels: [Float](repeating: 0, count: labels), toLayer: layer)
        return "no fault"
      } catch {
        return "\(error)".replacing(folder.path, with: "WORK")
      }
    }
    #expect(message(12, [3, 1, 1, 3], labels: 3) == prefix + "was fed 12 values as 3x1x1x3; N x C x H x W is wanted")
    #expect(message(9, [3, 1, 1, 3], labels: 3) == prefix + "was fed 3 records, which is no multiple of batch_size 2")
    #expect(message(6, [2, 1, 1, 3], labels: 0) == prefix + "was fed 0 labels for 2 records")
    #expect(message(8, [2, 1, 1, 4], labels: 2) == prefix + "was fed records that become 1x1x4, not 1x1x3")
    #expect(
      message(6, [2, 1, 1, 3], labels: 2, layer: "x") == "error: the net has no MemoryData layer 'x' to feed")
    #expect(
      fault(layer().replacing("width: 3", with: ""), in: folder) == prefix + "width must be at least 1")
  }
}
