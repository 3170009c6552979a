import CaffeSchema
import Compute
import Compute
import ComputeCPU
import ComputeReference
import Foundation
import Layers
import Nets
import Testing

/// Every layer against the numbers that Caffe 1.0 computed: values, gradients, parameters.
@Suite struct GoldenLayerTests {
  static let folder = Bundle.module.resourceURL.map { $0.appendingPathComponent("Fixtures/golden").path } ?? ""
  static let cases = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()

  @Test func casesAreThere() { #expect(Self.cases.count >= 130) }

  @Test(arguments: cases)
  func reference(_ name: String) throws { try compare(name, ReferenceEngine()) }

  @Test(arguments: cases)
  func cpu(_ name: String) throws { try compare(name, CPUEngine(threads: 2)) }

  private func compare(_ name: String, _ engine: any Engine) throws {
    let outcome = try ConformanceCase(folder: "\(Self.folder)/\(name)").run(
      engine: engine, catalogue: LayerCatalogue(layerTypes))
    #expect(outcome.passes, "\(name): error \(outcome.error), \(outcome.worst) of the allowed, in \(outcome.place)")
  }
}
