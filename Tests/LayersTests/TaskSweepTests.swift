import CaffeSchema
import Compute
import Diagnostics
import Layers
import Nets
import Tensors
import Testing

/// Every layer between two tasks and what they share: its backward runs once for each task, in memory that is reused.
@Suite(.serialized) struct TaskSweepTests {
  /// Gradients that are bounded do not add up.
  @Test(arguments: SweepTests.cases.filter { $0.example.name != "bounded gradients" })
  func backwardRunsForEachTask(_ test: SweepTests.Case) throws {
    guard let text = try TaskSweepTests.prototxt(test.example) else { return }
    let engine = try SweepTests.engine(test.engine)
    func makeNet(_ order: BackwardOrder?) throws -> Net {
      var options = NetOptions(phase: test.example.phase)
      options.graph.learns = true
      options.seed = 7
      options.tasks = order.map { order in
        TaskOptions(order: order) { graph in
          ["loss 0", "loss 1"].map { start in
            graph.values.indices.filter { graph.values[$0].name.hasPrefix(start) }
          }
        }
      }
      return try Net(
        NetSource(text: text, file: "\(test.example.name).prototxt"), engine: engine,
        catalogue: LayerCatalogue(layerTypes), options: options)
    }
    let plain: Net
    do { plain = try makeNet(nil) } catch is Diagnostic { return }
    let byTask = try makeNet(.taskByTask)
    var found: [[[Float]]] = []
    for net in [plain, byTask] {
      for (index, input) in test.example.inputs.enumerated() {
        guard let blob = net.versions(of: "in\(index)").first else { continue }
        input.fill(blob.values, RandomStream(seed: 3, UInt64(index)))
      }
      do { try net.forward() } catch is Diagnostic { return }
      net.clearGradients()
      try net.backward()
      net.taskGradients?.combine([1, 1])
      found.append(
        net.parameterTable.unique.map {
          Array(UnsafeBufferPointer(start: $0.parameter.settledGradients(), count: $0.parameter.count))
        })
    }
    for (index, (a, b)) in zip(found[0], found[1]).enumerated() {
      // Through a normalisation a factor and an addend have no gradient: what is left of many numbers around 1 that
      // cancel is exact to about 2e-6.
      let size = max(0.04, a.map(abs).max() ?? 0)
      let worst = zip(a, b).map { abs($0 - $1) }.max() ?? 0
      #expect(worst <= 5e-5 * size, "parameter \(index): off by \(worst) of \(size)")
    }
  }

  /// A Scale that learns before each input, and two losses on every top; nil where an example has no gradient.
  private static func prototxt(_ example: LayerExample) throws -> String? {
    var net = try NetSource(text: SweepNet.prototxt(example, surrounded: .inPlace), file: "sweep").parameter
    let tops = net.layer.filter { $0.name.hasPrefix("behind ") }.flatMap(\.top)
    for (index, top) in tops.enumerated() {
      for (task, operation) in [(0, ReductionParameter.ReductionOp.sum), (1, .sumsq)] {
        var layer = LayerParameter()
        (layer.name, layer.type, layer.bottom, layer.top) = (
          "task \(task), top \(index)", "Reduction", [top], ["loss \(task) top \(index)"]
        )
        layer.reductionParam.operation = operation
        layer.reductionParam.coeff = 0.3
        layer.lossWeight = [1]
        net.layer.append(layer)
      }
    }
    return tops.isEmpty ? nil : net.textFormatString()
  }
}
