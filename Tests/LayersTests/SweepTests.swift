import CaffeSchema
import Compute
import ComputeCPU
import ComputeReference
import Diagnostics
import Layers
import Nets
import Tensors
import Testing

/// What must hold for every layer and every option that its examples show.
@Suite struct SweepTests {
  /// An example of a layer on an engine.
  struct Case: CustomTestStringConvertible, Sendable {
    let engine: String
    let type: String
    let example: LayerExample

    var testDescription: String { "\(type), \(example.name), \(engine)" }
  }

  static let engines: [(name: String, make: @Sendable () throws -> any Engine)] = [
    ("reference", { ReferenceEngine() }), ("cpu", { try CPUEngine(threads: 2) }),
  ]

  static let cases: [Case] = engines.flatMap { engine in
    layerTypes.flatMap { type in type.examples.map { Case(engine: engine.name, type: type.type, example: $0) } }
  }

  static func engine(_ name: String) throws -> any Engine {
    try (engines.first { $0.name == name } ?? engines[0]).make()
  }

  /// The others are checked by tests of their own: data, and what is refused.
  @Test func everyLayerHasExamples() {
    let without = Set(layerTypes.filter { $0.examples.isEmpty }.map { $0.type })
    #expect(without == ["DummyData", "Input", "Silence"])
  }

  /// The gradients of bottoms and parameters are those that finite differences show.
  @Test(arguments: cases.filter(\.example.checksGradient))
  func gradients(_ test: Case) throws {
    let sweep = try SweepNet(test.example, engine: Self.engine(test.engine))
    try sweep.draw(seed: 1)
    let worst = try sweep.worstGradient()
    #expect(worst.error <= 1, "\(worst.place): analytic \(worst.analytic), by differences \(worst.numeric)")
  }

  /// A top in place of its bottom, in memory that is planned to be reused, changes nothing.
  @Test(arguments: cases)
  func inPlaceEqualsNotInPlace(_ test: Case) throws {
    let engine = try Self.engine(test.engine)
    let apart = try SweepNet(test.example, engine: engine, surrounded: .keepingAll)
    let together = try SweepNet(test.example, engine: engine, surrounded: .inPlace)
    for net in [apart, together] {
      try net.draw(seed: 2)
      try net.forward()
      try net.backward()
    }
    #expect(try apart.outputs() == together.outputs())
    #expect(apart.parameterGradients() == together.parameterGradients())
  }

  /// Gradients that come through one top alone.
  @Test(arguments: cases.filter { SweepNet.topCount($0.example) > 1 })
  func oneTopUnderTheLoss(_ test: Case) throws {
    for top in 0..<SweepNet.topCount(test.example) {
      let net = try SweepNet(test.example, engine: Self.engine(test.engine), lossTop: top)
      try net.draw(seed: 3)
      try net.forward()
      try net.backward()
      #expect(net.parameterGradients().allSatisfy { $0.allSatisfy(\.isFinite) })
      guard test.example.checksGradient else { continue }
      let worst = try net.worstGradient()
      #expect(worst.error <= 1, "top \(top), \(worst.place): \(worst.analytic), by differences \(worst.numeric)")
    }
  }

  /// All but what pairs the records.
  @Test(arguments: cases.filter { $0.type != Identity2Verify.type })
  func batchOfOne(_ test: Case) throws {
    let net = try SweepNet(test.example.with(batch: 1), engine: try Self.engine(test.engine))
    try net.draw(seed: 4)
    try net.forward()
    try net.backward()
    #expect(try net.outputs().allSatisfy { $0.allSatisfy(\.isFinite) })
  }

  /// No records: computed to nothing, or refused.
  @Test(arguments: cases)
  func emptyBatch(_ test: Case) throws {
    do {
      let net = try SweepNet(test.example.with(batch: 0), engine: try Self.engine(test.engine))
      try net.draw(seed: 4)
      try net.forward()
      try net.backward()
    } catch is Diagnostic {}
  }

  /// Values that are no numbers, or too large, are computed with or refused; they never end the program.
  @Test(arguments: cases, [Float.nan, .infinity, -.infinity, 3e38])
  func badValues(_ test: Case, _ bad: Float) throws {
    let net = try SweepNet(test.example, engine: Self.engine(test.engine))
    for everywhere in [false, true] {
      try net.draw(seed: 5)
      net.spoil(with: bad, everywhere: everywhere)
      do {
        try net.forward()
        try net.backward()
      } catch is Diagnostic {}
    }
  }

  /// A layer that takes rows one by one gives each the same, whatever the others hold.
  @Test(arguments: cases)
  func rowsAreIndependent(_ test: Case) throws {
    let sweep = try SweepNet(test.example, engine: Self.engine(test.engine))
    let node = try #require(sweep.net.graph.nodes.last)
    let shapes = node.bottoms.map { sweep.net.graph.values[$0].shape }
    guard let rows = shapes.first?.dims.first, let rowwise = node.definition.rowwise(shapes, along: 0) else { return }
    let tops = node.tops.indices.filter { rowwise.tops?.contains($0) ?? true }.map {
      sweep.net.blob(ofValue: node.tops[$0])
    }.filter { $0.rows == nil }
    func compute() throws -> [[Float]] {
      try sweep.forward()
      return try tops.map { top in
        let values = try sweep.net.values(of: top)
        return Array(values.prefix(values.count - values.count / max(1, top.shape.extent(0))))
      }
    }
    try sweep.draw(seed: 9)
    let before = try compute()
    for (index, bottom) in node.bottoms.enumerated() where rowwise.bottoms?.contains(index) ?? true {
      guard let input = test.example.inputs.indices.first(where: { "in\($0)" == sweep.net.graph.values[bottom].name })
      else { continue }
      sweep.repeatFirstRow(ofInput: input, in: shapes[index].extent(0) - 1)
    }
    #expect(rows > 0)
    for (a, b) in zip(before, try compute()) {
      for (x, y) in zip(a, b) where !(x.isNaN && y.isNaN) { #expect(abs(x - y) <= 1e-5 * max(1, abs(x))) }
    }
  }

  /// Every engine computes what the reference does.
  @Test(arguments: cases.filter { $0.engine != "reference" })
  func agreesWithReference(_ test: Case) throws {
    let nets = try [ReferenceEngine(), try Self.engine(test.engine)].map { try SweepNet(test.example, engine: $0) }
    for net in nets {
      try net.draw(seed: 6)
      try net.forward()
      try net.backward()
    }
    let values = try nets.map { try $0.outputs() + $0.inputGradients() + $0.parameterGradients() }
    for (theirs, ours) in zip(values[0], values[1]) {
      let largest = theirs.reduce(0) { max($0, abs($1)) }
      for (a, b) in zip(theirs, ours) where !(a.isNaN && b.isNaN) {
        #expect(abs(a - b) <= 1e-5 + 1e-4 * largest)
      }
    }
  }
}

extension LayerExample {
  /// The same with another batch: the first extent of the first input, wherever an input has it.
  func with(batch: Int) -> LayerExample {
    guard let old = inputs.first?.shape.dims.first else { return self }
    func changed(_ shape: Shape) -> Shape {
      var shape = shape
      if shape.rank > 0, shape[0] == old { shape[0] = batch }
      return shape
    }
    var copy = self
    copy.inputs = inputs.map { input in
      switch input {
      case .normal(let shape): .normal(changed(shape))
      case .normalAway(let shape, let from): .normalAway(changed(shape), from: from)
      case .uniform(let shape, let range): .uniform(changed(shape), range)
      // Indices of records must stay among them.
      case .labels(let shape, let classes): .labels(changed(shape), classes: classes == old ? max(1, batch) : classes)
      case .distinct(let shape): .distinct(changed(shape))
      }
    }
    return copy
  }
}
