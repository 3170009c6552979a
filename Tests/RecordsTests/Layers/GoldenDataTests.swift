import CaffeSchema
import ComputeReference
import Foundation
import Nets
import Records
import Testing

/// What Caffe 1.0's Data layer made of the databases in Fixtures/convert: two batches of each case.
@Suite struct GoldenDataTests {
  static let folder = Bundle.module.resourceURL.map { $0.appendingPathComponent("Fixtures/data").path } ?? ""
  static let cases = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()

  @Test func casesAreThere() { #expect(Self.cases.count == 13) }

  @Test(arguments: cases)
  func batches(_ name: String) throws {
    let text = try String(contentsOfFile: "\(Self.folder)/\(name)/net.prototxt", encoding: .utf8)
    let expected = try readBinary("\(Self.folder)/\(name)/expected.binaryproto", as: NetParameter.self)
    // The cases name their databases from this folder.
    let source = try NetSource(text: text, file: Self.folder + "/net.prototxt")
    let net = try Net(
      source, engine: ReferenceEngine(), catalogue: LayerCatalogue(recordLayerTypes), options: NetOptions(phase: .test))
    var compared = 0
    for step in 0..<2 {
      try net.forward()
      for entry in expected.layer where entry.name.hasPrefix("step\(step):") {
        let blob = try #require(net.blob(String(entry.name.dropFirst("step0:".count))))
        let theirs = entry.blobs[0]
        #expect(theirs.holds(blob.shape), "\(blob.shape) for \(theirs.dims)")
        let error = zip(try net.values(of: blob), theirs.data).map { abs($0 - $1) }.max() ?? .infinity
        #expect(error <= 1e-5, "\(entry.name) differs by \(error)")
        compared += 1
      }
    }
    #expect(compared >= 2)
  }
}
