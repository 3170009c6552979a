import CaffeSchema
import ComputeReference
import Foundation
import Layers
import Nets
import Testing

/// SSD's rows come first, in its order; the rows of the fixed shape that are left over have image -1.
@Suite struct DetectionOutputTests {
  @Test func rowsOfSSD() throws {
    let folder = (Bundle.module.resourceURL?.path ?? "") + "/Fixtures/detection_output"
    let expected = try readBinary(folder + "/expected.binaryproto", as: NetParameter.self)
    func values(_ blob: String) -> BlobProto? { expected.layer.first { $0.name == "blob:\(blob)" }?.blobs.first }
    var options = NetOptions(phase: .test)
    options.keepsEverything = true
    let net = try Net(
      NetSource.read(path: folder + "/net.prototxt"), engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes),
      options: options)
    for input in ["loc", "conf", "f", "d"] {
      let (blob, given) = (try #require(net.blob(input)), try #require(values(input)))
      given.copyValues(to: blob.values)
    }
    try net.forward()
    let ours = try net.values(of: try #require(net.blob("out")))
    let theirs = try #require(values("out")).values
    #expect(theirs.count > 7 && theirs.count <= ours.count)
    for (a, b) in zip(ours, theirs) { #expect(abs(a - b) <= 1e-5 + 1e-4 * abs(b)) }
    #expect(ours[theirs.count...].allSatisfy { $0 == -1 })
  }
}
