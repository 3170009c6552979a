import CaffeSchema
import ComputeReference
import Diagnostics
import Foundation
import HDF5Files
import Layers
import Nets
import Testing

@testable import Solvers

/// Weights and states in HDF5, in Caffe's layout.
@Suite struct HDF5SnapshotTests {
  private let job: SolverJob
  private static let hdf5 = SolverJob.usual.replacing(
    "max_iter: 20", with: "max_iter: 6 snapshot: 2 snapshot_format: HDF5")
  private static let binary = SolverJob.usual.replacing("max_iter: 20", with: "max_iter: 6 snapshot: 2")

  init() throws { job = try SolverJob() }

  private func path(_ name: String) -> String { "\(job.path)/\(name)" }

  @Test func holdTheSameAsTheBinaryOnes() throws {
    #expect(try job.solver(Self.hdf5, prefix: "a").solve())
    #expect(job.lines.all.contains("Snapshotting to HDF5 file \(path("a_iter_2.caffemodel.h5"))"))
    #expect(job.lines.all.contains("Snapshotting solver state to HDF5 file \(path("a_iter_2.solverstate.h5"))"))
    #expect(try job.solver(Self.binary, prefix: "b").solve())
    let a = try NetSource.readWeights(path("a_iter_6.caffemodel.h5"))
    let b = try NetSource.readWeights(path("b_iter_6.caffemodel"))
    let layers = b.layer.filter { !$0.blobs.isEmpty }
    #expect(a.layer.map(\.name) == layers.map(\.name).sorted())
    for layer in layers { #expect(a.layer.first { $0.name == layer.name }?.blobs == layer.blobs) }
    let state = try ResumePoint(path("a_iter_6.solverstate.h5")).readState()
    var other = try ResumePoint(path("b_iter_6.solverstate")).readState()
    #expect(state.learnedNet == path("a_iter_6.caffemodel.h5"))
    other.learnedNet = state.learnedNet
    #expect(state == other)
  }

  /// The places in which Caffe looks: `data/LAYER/0`, a group for every layer.
  @Test func haveCaffesLayout() throws {
    #expect(try job.solver(Self.hdf5 + " snapshot_diff: true").solve())
    let weights = try HDF5File(reading: path("snap_iter_6.caffemodel.h5"))
    #expect(try weights.names() == ["data", "diff"])
    #expect(
      try weights.names(in: "data") == [
        "bn", "data", "drop", "hidden", "loss_kind", "loss_size", "relu", "score", "size",
      ])
    #expect(try weights.names(in: "data/hidden") == ["0", "1"] && weights.names(in: "data/relu").isEmpty)
    #expect(try weights.dataset("data/hidden/0").shape == [6, 5] && weights.dataset("diff/hidden/1").shape == [6])
    let state = try HDF5File(reading: path("snap_iter_6.solverstate.h5"))
    #expect(try state.names() == ["current_step", "history", "iter", "learned_net"])
    #expect(try state.dataset("iter").integers() == [6])
    #expect(try state.names(in: "history").count == 9)
  }

  /// A run may change from one form to the other.
  @Test func theNewestOfEitherFormIsFound() throws {
    #expect(try job.solver(Self.binary).solve())
    let more = Self.hdf5.replacing("max_iter: 6", with: "max_iter: 8")
    let resumed = try job.solver(more)
    try resumed.restore(#require(job.newest().point))
    #expect(try resumed.solve())
    #expect(job.newest().point?.path == path("snap_iter_8.solverstate.h5"))
    // Both forms of one iteration: the run state belongs to the one that was written last.
    let again = try job.solver(Self.hdf5)
    try again.restore(ResumePoint(path("snap_iter_4.solverstate")))
    #expect(try again.solve())
    #expect(try ResumePoint(path("snap_iter_6.solverstate.h5")).runState?.iteration == 6)
    #expect(try ResumePoint(path("snap_iter_6.solverstate")).runState == nil)
  }

  @Test(arguments: ["caffemodel.h5", "solverstate.h5"], [true, false])
  func aDamagedOneIsSkipped(_ ending: String, _ isCut: Bool) throws {
    #expect(try job.solver(Self.hdf5).solve())
    let name = "snap_iter_6.\(ending)"
    var bytes = try job.contents(name)
    bytes[bytes.count / 2] ^= 1
    try job.write(isCut ? bytes.dropLast(bytes.count / 2) : bytes, to: name)
    let found = job.newest()
    #expect(found.point?.runState?.iteration == 4 && found.skipped.count == 1)
  }

  @Test func mistakenFilesAreTold() throws {
    #expect(try job.solver(Self.hdf5).solve())
    func message(_ body: () throws -> Void) -> String { #expect(throws: Diagnostic.self) { try body() }?.message ?? "" }
    #expect(
      message { _ = try ResumePoint(path("snap_iter_6.caffemodel.h5")) }.contains("holds weights, not a solver state"))
    #expect(
      message { _ = try NetSource.readWeights(path("snap_iter_6.solverstate.h5")) }.contains(
        "is a solver state, not weights"))
    // By what is in them, whatever the name.
    try job.write(job.contents("snap_iter_6.solverstate.h5"), to: "state")
    try job.write(job.contents("snap_iter_6.caffemodel.h5"), to: "weights")
    #expect(message { _ = try NetSource.readWeights(path("state")) }.contains("is a solver state, not weights"))
    #expect(message { _ = try ResumePoint(path("weights")).readState() }.contains("holds weights, not a solver state"))
  }

  /// A shared parameter is at its owner's alone, and layers may have slashes in their names.
  @Test func sharedParametersAndNamesWithSlashes() throws {
    let text = """
      layer { name: "in" type: "Input" top: "in" input_param { shape { dim: 2 dim: 3 } } }
      layer { name: "a/one" type: "InnerProduct" bottom: "in" top: "a" param { name: "w" } inner_product_param {
        num_output: 3 weight_filler { type: "gaussian" std: 1 } bias_filler { value: 3 } } }
      layer { name: "a/two" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" } inner_product_param {
        num_output: 3 weight_filler { type: "gaussian" std: 1 } bias_filler { value: 4 } } }
      layer { name: "own" type: "InnerProduct" bottom: "b" top: "c" param { name: "v" } inner_product_param {
        num_output: 3 bias_term: false weight_filler { type: "gaussian" std: 1 } } }
      layer { name: "borrowed" type: "InnerProduct" bottom: "c" top: "d" param { name: "v" } inner_product_param {
        num_output: 3 bias_term: false } }
      """
    func net(_ seed: UInt64, _ text: String = text) throws -> Net {
      var options = NetOptions(phase: .train)
      options.seed = seed
      return try Net(
        NetSource(text: text, file: "n"), engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes),
        options: options)
    }
    let (a, b) = (try net(1), try net(2))
    try a.writeHDF5(to: path("w.h5"), gradients: false)
    #expect(
      try HDF5File(reading: path("w.h5")).datasetNames() == [
        "data/a/one/0", "data/a/one/1", "data/a/two/1", "data/own/0",
      ])
    let report = try b.load(NetSource.readWeights(path("w.h5")), from: "w", requiresAll: true)
    #expect(report.loaded.sorted() == ["a/one", "a/two", "own"] && report.missing.isEmpty && report.unused.isEmpty)
    for (x, y) in zip(a.parameterTable.unique, b.parameterTable.unique) {
      #expect((0..<x.parameter.count).allSatisfy { x.parameter.values[$0] == y.parameter.values[$0] })
    }
    // Where the other net shares nothing, the parameter is missed.
    let apart = try net(3, text.replacing(#"bottom: "a" top: "b" param { name: "w" }"#, with: #"bottom: "a" top: "b""#))
    let fault = #expect(throws: Diagnostic.self) { try apart.load(NetSource.readWeights(path("w.h5")), from: "w") }
    #expect(fault?.description.contains("'a/two' (InnerProduct): has 2 parameters, but w holds 1 for it") == true)
  }
}
