import CaffeSchema
import Diagnostics
import Foundation
import HDF5Files
import Nets
import Testing

@testable import Records

/// Three files with 10 rows in all: row r has data 10 r, 10 r + 1 and label r.
@Suite struct HDF5DataTests {
  static let fixtures = Bundle.module.bundlePath + "/Fixtures/hdf5"
  private let folder: TestFolder

  init() throws { folder = try TestFolder() }

  private func layer(_ more: String = "", batch: Int = 4, source: String = "\(fixtures)/files.txt") -> String {
    """
    layer { name: "d" type: "HDF5Data" top: "data" top: "label" \(more)
      hdf5_data_param { source: "\(source)" batch_size: \(batch) } }
    """
  }

  private var shuffled: String {
    layer().replacing("batch_size: 4", with: "batch_size: 4 shuffle: true")
  }

  @Test func readsRowsInOrder() throws {
    let net = try dataNet(layer(), in: folder)
    #expect(net.blob("data")?.shape == [4, 1, 2])
    #expect(net.blob("label")?.shape == [4])
    #expect(try passes(5, of: net, "label") == (0..<20).map { Float($0 % 10) })
    #expect(try passes(1, of: net, "data") == [0, 1, 10, 11, 20, 21, 30, 31])
  }

  @Test func aBatchMayBeLongerThanAllFiles() throws {
    let net = try dataNet(layer(batch: 23), in: folder)
    #expect(try passes(2, of: net, "label") == (0..<46).map { Float($0 % 10) })
  }

  @Test func shuffledRoundsKeepFilesTogether() throws {
    let net = try dataNet(shuffled, in: folder)
    let labels = try passes(5, of: net, "label")
    let rounds = [Array(labels[..<10]), Array(labels[10...])]
    let files: [Set<Float>] = [[0, 1, 2], [3, 4, 5, 6, 7], [8, 9]]
    for round in rounds {
      #expect(Set(round) == Set((0..<10).map(Float.init)))
      // Whichever comes first, a file is read to its end before the next begins.
      var rest = round[...]
      while let label = rest.first, let file = files.first(where: { $0.contains(label) }) {
        #expect(Set(rest.prefix(file.count)) == file)
        rest = rest.dropFirst(file.count)
      }
    }
    #expect(rounds[0] != rounds[1])
    #expect(try passes(5, of: dataNet(shuffled, in: folder), "label") == labels)
    #expect(try passes(5, of: dataNet(shuffled, in: folder, seed: 2), "label") != labels)
  }

  @Test func aPassIsTheSameHoweverItIsReached() throws {
    let all = try passes(9, of: dataNet(shuffled, in: folder), "data")
    let net = try dataNet(shuffled, in: folder)
    for pass in [7, 2, 8, 0, 5] {
      net.clock.pass = pass
      #expect(try passes(1, of: net, "data") == Array(all[(8 * pass)..<(8 * pass + 8)]))
    }
  }

  @Test func readsFilesBesideTheirList() throws {
    try FileManager.default.copyItem(atPath: Self.fixtures, toPath: folder("rows"))
    #expect(try passes(1, of: dataNet(layer(source: "rows/files.txt"), in: folder), "label") == [0, 1, 2, 3])
  }

  // MARK: Shapes without files

  @Test func shapesAreGuessedWithoutFiles() throws {
    let read = #"""

      layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 2 kernel_size: 3 } }
      layer { name: "ip" type: "InnerProduct" bottom: "c" top: "ip" inner_product_param { num_output: 7 } }
      layer { name: "l" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "l" }
      """#
    let (shapes, areKnown) = try inferred(layer(source: "nowhere.txt") + read, in: folder)
    #expect(shapes["data"] == "4x3x224x224" && shapes["label"] == "4x7")
    #expect(!areKnown)
    #expect(try inferred(layer(), in: folder).shapes == ["data": "4x1x2", "label": "4"])
  }

  // MARK: Faults

  private func write(_ name: String, _ datasets: [(String, [Int])]) throws {
    let writer = try HDF5Writer(writing: folder(name))
    for (name, shape) in datasets {
      try writer.write(name, shape: shape, [Float](repeating: 1, count: shape.reduce(1, *)))
    }
    try writer.finish()
  }

  @Test func filesThatDoNotFit() throws {
    let prefix = "WORK/net.prototxt:2:21: error: layer 'd' (HDF5Data): "
    try write("one.h5", [("data", [2, 3]), ("label", [2])])
    try write("other.h5", [("data", [2, 4]), ("label", [2])])
    try write("uneven.h5", [("data", [2, 3]), ("label", [3])])
    try write("scalar.h5", [("data", []), ("label", [1])])
    try write("unnamed.h5", [("datum", [2, 3]), ("label", [2])])
    try write("empty.h5", [("data", [0, 3]), ("label", [0])])
    try folder.write("not HDF5", to: "text.h5")
    let cases: [(list: String, message: String)] = [
      ("", "the list 'WORK/list.txt' names no file"),
      ("nothing.h5", "there is no file 'nothing.h5'"),
      ("one.h5 text.h5", "cannot read 'WORK/text.h5': it is no HDF5 file"),
      (
        "one.h5\nother.h5",
        "a row of dataset 'data' is 4 in 'WORK/other.h5', but 3 in 'WORK/one.h5'; all files of 'WORK/list.txt' must have "
          + "rows of one shape"
      ),
      ("uneven.h5", "'WORK/uneven.h5' holds 2 rows of 'data', but 3 of 'label'"),
      ("scalar.h5", "dataset 'data' of 'WORK/scalar.h5' is a single value and has no rows"),
      (
        "unnamed.h5",
        "'WORK/unnamed.h5' holds no dataset 'data', but 'datum', 'label'\n"
          + "  note: a top reads the dataset of its own name"
      ),
      ("empty.h5 empty.h5", "the files of 'WORK/list.txt' hold no rows"),
    ]
    for (list, message) in cases {
      try folder.write(list, to: "list.txt")
      #expect(fault(layer(source: "list.txt"), in: folder) == prefix + message)
    }
    #expect(
      fault(layer(source: "one.h5"), in: folder)
        == prefix + "'WORK/one.h5' is an HDF5 file; source must be a text file that lists HDF5 files, one on each line")
    #expect(
      fault(layer(source: "none.txt"), in: folder)
        == prefix + "cannot read the list 'none.txt': there is no such file")
    try write("two.h5", [("data", [1, 3]), ("label", [1])])
    try folder.write("empty.h5\none.h5 empty.h5 two.h5", to: "list.txt")
    #expect(fault(layer(source: "list.txt"), in: folder, passes: 3) == "no fault")
  }

  @Test func aFileThatChangesMeanwhile() throws {
    try write("one.h5", [("data", [2, 3]), ("label", [2])])
    try folder.write("one.h5", to: "list.txt")
    let net = try dataNet(layer(source: "list.txt"), in: folder)
    try write("one.h5", [("data", [1, 3]), ("label", [1])])
    let fault = #expect(throws: Diagnostic.self) { try net.forward() }
    #expect(fault?.message == "'\(folder.path)/one.h5' was changed while it was being read")
  }

  @Test(arguments: [
    ("source: \"x\"", "batch_size must be at least 1", "1:68"),
    ("batch_size: 1", "source is missing; give the path of a text file that lists HDF5 files", "1:50"),
  ])
  func fieldsThatAreMissing(_ field: String, _ message: String, _ place: String) {
    let text = #"layer { name: "d" type: "HDF5Data" top: "data"   hdf5_data_param { \#(field) } }"#
    #expect(
      fault(text, in: folder).hasSuffix("error: layer 'd' (HDF5Data): \(message)"), "\(fault(text, in: folder))")
  }

  @Test func fieldsThatAreRefused() {
    #expect(
      fault(layer("transform_param { scale: 2 }"), in: folder)
        == "WORK/net.prototxt:1:61: error: layer 'd' (HDF5Data): transform_param is not supported: HDF5Data gives rows as "
        + "they are; prepare them in the files, or scale and shift with a Power or Scale layer")
  }
}
