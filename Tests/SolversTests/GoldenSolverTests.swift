import CaffeSchema
import ComputeReference
import Diagnostics
import Foundation
import Layers
import Logging
import Nets
import Records
import Solvers
import Testing

/// Runs of 20 iterations that Caffe 1.0 made: losses at each, weights and states after 10 and 20.
@Suite struct GoldenSolverTests {
  static let folder = Bundle.module.resourceURL.map { $0.appendingPathComponent("Fixtures/solvers").path } ?? ""
  static let cases = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
    .filter { FileManager.default.fileExists(atPath: "\(folder)/\($0)/solver.prototxt") }

  @Test func casesAreThere() { #expect(Self.cases.count == 16) }

  @Test(arguments: cases)
  func followsCaffe(_ name: String) throws {
    let work = try TemporaryFolder()
    let solver = try makeSolver(name, prefix: work.path + "/snap")
    try start(solver)
    for (iteration, expected) in try losses(name).enumerated() {
      _ = try solver.step()
      // float32 sums in another order differ by a few units in the seventh digit, and training multiplies that.
      let tolerance: Float = iteration <= 1 ? 1e-6 : 1e-4
      for (blob, value) in zip(["loss_class", "loss_fit"], expected) {
        let ours = try #require(solver.nets.train.blob(blob)).values[0]
        #expect(
          abs(ours - value) <= tolerance * max(1, abs(value)),
          "iteration \(iteration): \(blob) is \(ours), not \(value)")
      }
      if solver.iteration % 10 == 0 {
        try solver.snapshot()
        try compareSnapshots(name, solver.iteration, prefix: work.path + "/snap")
      }
    }
  }

  @Test(arguments: cases)
  func goesOnFromCaffesState(_ name: String) throws {
    let work = try TemporaryFolder()
    let solver = try makeSolver(name, prefix: work.path + "/snap")
    try solver.restore(ResumePoint("\(Self.folder)/\(name)/snap_iter_10.solverstate"))
    #expect(solver.iteration == 10)
    for expected in try losses(name).dropFirst(10) {
      _ = try solver.step()
      let ours = try #require(solver.nets.train.blob("loss_class")).values[0]
      #expect(abs(ours - expected[0]) <= 1e-4 * max(1, abs(expected[0])))
    }
    try solver.snapshot()
    try compareSnapshots(name, 20, prefix: work.path + "/snap")
  }

  @Test func goesOnFromAStateInHDF5() throws {
    let work = try TemporaryFolder()
    let solver = try makeSolver("adam", prefix: work.path + "/snap")
    let point = try ResumePoint("\(Self.folder)/adam/snap_iter_10.solverstate.h5")
    #expect(point.runState == nil)
    try solver.restore(point)
    #expect(solver.iteration == 10)
    for _ in 10..<20 { _ = try solver.step() }
    try solver.snapshot()
    try compareSnapshots("adam", 20, prefix: work.path + "/snap")
  }

  @Test func resumedRunIsEqualBitForBit() throws {
    let work = try TemporaryFolder()
    let whole = try makeSolver("adam", prefix: work.path + "/whole")
    try start(whole)
    for _ in 0..<13 { _ = try whole.step() }
    try whole.snapshot()
    for _ in 13..<20 { _ = try whole.step() }
    try whole.snapshot()
    let resumed = try makeSolver("adam", prefix: work.path + "/resumed")
    try resumed.restore(ResumePoint(work.path + "/whole_iter_13.solverstate"))
    for _ in 13..<20 { _ = try resumed.step() }
    try resumed.snapshot()
    let a = try Data(contentsOf: URL(fileURLWithPath: work.path + "/whole_iter_20.caffemodel"))
    let b = try Data(contentsOf: URL(fileURLWithPath: work.path + "/resumed_iter_20.caffemodel"))
    #expect(a == b)
  }

  // MARK: Setting up

  private func makeSolver(_ name: String, prefix: String) throws -> Solver {
    let text = try String(contentsOfFile: "\(Self.folder)/\(name)/solver.prototxt", encoding: .utf8)
    var source = try SolverSource(text: text, file: "\(Self.folder)/solver.prototxt")
    source.parameter.snapshotPrefix = prefix
    let settings = try SolverSettings(source)
    let nets = try SolverNets(
      settings, engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes + recordLayerTypes), seed: 3)
    return try Solver(
      settings, nets: nets, log: TrainingLog(Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })))
  }

  private func start(_ solver: Solver) throws {
    let weights = Self.folder + "/init.caffemodel"
    let report = try solver.nets.train.load(NetSource.readWeights(weights), from: weights)
    #expect(report.missing.isEmpty)
  }

  private func losses(_ name: String) throws -> [[Float]] {
    let text = try String(contentsOfFile: "\(Self.folder)/\(name)/losses.tsv", encoding: .utf8)
    return text.split(separator: "\n").dropFirst().map {
      $0.split(separator: "\t").dropFirst().compactMap { Float($0) }
    }
  }

  private func compareSnapshots(_ name: String, _ iteration: Int, prefix: String) throws {
    let golden = "\(Self.folder)/\(name)/snap_iter_\(iteration)"
    let weights = try NetSource.readWeights("\(prefix)_iter_\(iteration).caffemodel")
    for layer in try NetSource.readWeights(golden + ".caffemodel").layer where !layer.blobs.isEmpty {
      let ours = try #require(weights.layer.first { $0.name == layer.name })
      for (a, b) in zip(ours.blobs, layer.blobs) { expectClose(a, b, "\(layer.name) at \(iteration)") }
      #expect(ours.blobs.count == layer.blobs.count)
    }
    let state = try readBinary("\(prefix)_iter_\(iteration).solverstate", as: SolverState.self)
    let expected = try readBinary(golden + ".solverstate", as: SolverState.self)
    #expect(state.iter == expected.iter)
    #expect(state.currentStep == expected.currentStep)
    #expect(state.history.count == expected.history.count)
    for (index, (a, b)) in zip(state.history, expected.history).enumerated() {
      expectClose(a, b, "history \(index) at \(iteration)")
    }
  }

  private func expectClose(_ ours: BlobProto, _ theirs: BlobProto, _ place: String) {
    #expect(ours.dims == theirs.dims)
    let scale = theirs.data.map(abs).max() ?? 0
    let error = zip(ours.data, theirs.data).map { abs($0 - $1) }.max() ?? 0
    #expect(error <= 1e-4 * scale + 1e-9, "\(place): error \(error) at scale \(scale)")
  }
}

/// A folder that is removed with its owner.
final class TemporaryFolder {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "mtl-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }
}
