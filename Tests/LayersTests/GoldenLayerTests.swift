import CaffeSchema
import Compute
import ComputeReference
import Foundation
import Layers
import Nets
import Testing

/// Every layer against the numbers that Caffe 1.0 computed: values, gradients, parameters.
@Suite struct GoldenLayerTests {
  static let folder = Bundle.module.resourceURL.map { $0.appendingPathComponent("Fixtures/golden").path } ?? ""
  static let cases = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()

  @Test func casesAreThere() { #expect(Self.cases.count >= 50) }

  @Test(arguments: cases)
  func reference(_ name: String) throws {
    let outcome = try ConformanceCase(folder: "\(Self.folder)/\(name)").run(
      engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes))
    #expect(outcome.passes, "\(name): error \(outcome.error), \(outcome.worst) of the allowed, in \(outcome.place)")
  }
}
