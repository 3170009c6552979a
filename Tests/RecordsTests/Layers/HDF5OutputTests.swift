import Diagnostics
import Foundation
import HDF5Files
import Nets
import Testing

@testable import Records

@Suite struct HDF5OutputTests {
  private let folder: TestFolder

  init() throws { folder = try TestFolder() }

  private func text(_ file: String, labels: Int = 4) -> String {
    """
    layer { name: "d" type: "DummyData" top: "data" top: "label"
      dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: \(labels) } data_filler { type: "uniform" }
        data_filler { value: 7 } } }
    layer { name: "o" type: "HDF5Output" bottom: "data" bottom: "label" hdf5_output_param { file_name: "\(file)" } }
    """
  }

  @Test func everyPassAddsItsRows() throws {
    try folder.write("something old", to: "out.h5")
    let net = try dataNet(text(folder("out.h5")), in: folder)
    #expect(folder.names() == ["out.h5"])
    var written: [Float] = []
    for pass in 1...3 {
      written += try passes(1, of: net, "data")
      let file = try HDF5File(reading: folder("out.h5"))
      #expect(try file.datasetNames() == ["data", "label"])
      #expect(try file.dataset("data").shape == [4 * pass, 3, 1, 1])
      #expect(try file.dataset("data").floats() == written)
      #expect(try file.dataset("label").shape == [4 * pass, 1, 1, 1])
      #expect(try file.dataset("label").floats() == [Float](repeating: 7, count: 4 * pass))
    }
    #expect(folder.names() == ["out.h5"])
  }

  @Test func whatItWritesIsRead() throws {
    try dataNet(text(folder("out.h5")), in: folder).forward()
    try folder.write("out.h5", to: "list.txt")
    let reader =
      #"layer { name: "r" type: "HDF5Data" top: "label" hdf5_data_param { source: "list.txt" batch_size: 2 } }"#
    #expect(try passes(1, of: dataNet(reader, in: folder), "label") == [7, 7])
  }

  @Test func faults() throws {
    let prefix = "WORK/net.prototxt:4:"
    #expect(
      fault(text(folder("nowhere/out.h5")), in: folder, passes: 1)
        == prefix + "89: error: layer 'o' (HDF5Output): cannot write 'WORK/nowhere/out.h5': No such file or directory")
    #expect(
      fault(text("out.h5", labels: 3), in: folder)
        == prefix + "53: error: layer 'o' (HDF5Output): the bottoms must have equally many rows: 4x3 and 3\n"
        + "  note: bottom 'data' is 4x3, produced by 'd' at WORK/net.prototxt:1:1\n"
        + "  note: bottom 'label' is 3, produced by 'd' at WORK/net.prototxt:1:1")
    #expect(
      fault(text(""), in: folder)
        == prefix + "69: error: layer 'o' (HDF5Output): file_name is missing; give the HDF5 file to write")
  }
}
