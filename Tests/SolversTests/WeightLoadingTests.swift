import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Testing

@testable import Solvers

/// Fine-tuning: what is taken from files of weights, and what is told of it.
@Suite struct WeightLoadingTests {
  private let job: SolverJob

  init() throws { job = try SolverJob() }

  private func weights(_ net: Net, _ layer: String) throws -> [Float] {
    let parameter = try #require(net.parameterTable.unique.first { $0.layerName == layer }).parameter
    return Array(UnsafeBufferPointer(start: parameter.values, count: parameter.count))
  }

  /// Weights of a trained net under two names of the last layers.
  @Test func takesWhatFitsByNameAndTellsTheRest() throws {
    let first = try job.solver(seed: 8)
    _ = try first.step()
    try first.snapshot()
    try job.write(SolverJob.net.replacing("\"score\"", with: "\"new_score\""), to: "renamed.prototxt")
    let second = try job.solver(net: "renamed.prototxt")
    let start = try weights(second.nets.train, "new_score")
    job.lines.clear()
    let path = "\(job.path)/snap_iter_1.caffemodel"
    let loading = WeightLoading(
      log: TrainingLog(.init(label: "test", factory: { [lines = job.lines] _ in lines.handler })))
    try loading.start(second.nets.train, from: [path])
    #expect(
      job.lines.all == [
        "Finetuning from \(path)", "Ignoring source layer score", "taken from '\(path)': hidden, bn, size",
        "in none of the files, learned from the start: new_score",
      ])
    #expect(try weights(second.nets.train, "hidden") == weights(first.nets.train, "hidden"))
    #expect(try weights(second.nets.train, "new_score") == start)
  }

  /// The later file counts; layers with lr_mult 0 stay as they were loaded.
  @Test func takesSeveralFilesInTurnAndFreezes() throws {
    for (seed, prefix) in [(UInt64(1), "a"), (2, "b")] {
      let solver = try job.solver(prefix: prefix, seed: seed)
      _ = try solver.step()
      try solver.snapshot()
    }
    var b = try readBinary("\(job.path)/b_iter_1.caffemodel", as: NetParameter.self)
    b.layer.removeAll { $0.name == "score" }
    try writeBinary(b, to: "\(job.path)/b.caffemodel")
    let frozen = SolverJob.net.replacing(
      #"top: "hidden" inner_product_param"#,
      with: #"top: "hidden" param { lr_mult: 0 } param { lr_mult: 0 } inner_product_param"#)
    try job.write(frozen, to: "frozen.prototxt")
    let solver = try job.solver(net: "frozen.prototxt", seed: 3)
    job.lines.clear()
    let loading = WeightLoading(
      log: TrainingLog(.init(label: "test", factory: { [lines = job.lines] _ in lines.handler })))
    try loading.start(solver.nets.train, from: ["\(job.path)/a_iter_1.caffemodel", "\(job.path)/b.caffemodel"])
    #expect(job.lines.all.last == "kept as they are by lr_mult 0: hidden")
    #expect(!job.lines.all.contains { $0.hasPrefix("in none") })
    let loaded = try weights(solver.nets.train, "hidden")
    #expect(loaded == b.layer.first { $0.name == "hidden" }?.blobs[0].data)
    let score = try readBinary("\(job.path)/a_iter_1.caffemodel", as: NetParameter.self).layer.first {
      $0.name == "score"
    }
    #expect(try weights(solver.nets.train, "score") == score?.blobs[0].data)
    for _ in 0..<3 { _ = try solver.step() }
    #expect(try weights(solver.nets.train, "hidden") == loaded)
    #expect(try weights(solver.nets.train, "score") != score?.blobs[0].data)
  }

  @Test func warnsWhenNothingIsTaken() throws {
    let first = try job.solver()
    _ = try first.step()
    try first.snapshot()
    try job.write(
      SolverJob.net.replacing("\"hidden\" type", with: "\"h\" type").replacing("\"bn\"", with: "\"n\"")
        .replacing("\"score\" type", with: "\"s\" type").replacing("\"size\" type", with: "\"z\" type"),
      to: "all.prototxt")
    let other = try job.solver(net: "all.prototxt")
    job.lines.clear()
    let loading = WeightLoading(
      log: TrainingLog(.init(label: "test", factory: { [lines = job.lines] _ in lines.handler })))
    try loading.start(other.nets.train, from: ["\(job.path)/snap_iter_1.caffemodel"])
    #expect(job.lines.all.contains { $0.contains("has weights for none of the net's layers") })
  }
}
