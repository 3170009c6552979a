import CaffeSchema
import Foundation
import Nets
import Testing

@testable import Records

/// What `mtl test` needs to take each record once.
@Suite struct RecordReadingTests {
  @Test func knowsTheLayersThatReadRecords() {
    #expect(Set(recordReadingTypes.keys) == ["AnnotatedData", "Data", "HDF5Data", "ImageData"])
  }

  /// A run tells what the records of a pass are called, for messages about them.
  @Test func runsNameTheirRecords() throws {
    let folder = try TestFolder()
    let fixtures = Bundle.module.bundlePath + "/Fixtures"
    func keys(_ text: String, pass: Int) throws -> [String] {
      let run = try #require(dataNet(text, in: folder).run(ofLayer: 0) as? any RecordRun)
      #expect(run.batchSize == 2)
      return try run.keys(ofPass: pass)
    }
    let rows =
      #"layer { name: "d" type: "HDF5Data" top: "label" hdf5_data_param { source: "\#(fixtures)/hdf5/files.txt" "#
      + "batch_size: 2 } }"
    #expect(try keys(rows, pass: 1) == ["\(fixtures)/hdf5/a.h5 row 2", "\(fixtures)/hdf5/b.h5 row 0"])
    let images =
      #"layer { name: "d" type: "ImageData" top: "x" image_data_param { source: "\#(fixtures)/convert/list.txt" "#
      + "batch_size: 2 new_height: 4 new_width: 4 } }"
    #expect(try keys(images, pass: 1) == ["images/baseline422.jpeg", "images/baseline444.jpg"])
    let database =
      #"layer { name: "d" type: "Data" top: "x" data_param { source: "\#(fixtures)/leveldb" batch_size: 2 } }"#
    #expect(try keys(database, pass: 29) == ["00000058", "00000000"])
    let shuffled = database.replacing("batch_size: 2", with: "batch_size: 2 shuffle: true")
    #expect(Set(try (0..<29).flatMap { try keys(shuffled, pass: $0) }).count == 58)
  }

  @Test func aRoundOfRowsAndItsRest() throws {
    let folder = try TestFolder()
    let fixtures = Bundle.module.bundlePath + "/Fixtures/hdf5"
    let text =
      #"layer { name: "d" type: "HDF5Data" top: "label" hdf5_data_param { source: "\#(fixtures)/files.txt" batch_size: 4 } }"#
    let net = try dataNet(text, in: folder)
    let layer = try #require(net.graph.nodes[0].definition as? any RecordReading)
    #expect(try layer.recordCount() == 10)
    #expect(layer.batchSize == 4)
    var parameter = net.graph.nodes[0].fields.parameter
    type(of: layer).setBatchSize(2, in: &parameter)
    #expect(parameter.hdf5DataParam.batchSize == 2)
    // The last two rows are a batch of their own.
    let rest = try dataNet(text.replacing("batch_size: 4", with: "batch_size: 2"), in: folder)
    rest.clock.firstRecord = 8
    #expect(try passes(1, of: rest, "label") == [8, 9])
  }
}
