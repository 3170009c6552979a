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
