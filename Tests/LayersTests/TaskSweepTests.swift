import CaffeSchema
import Compute
import Diagnostics
import Layers
import Nets
import Tensors
import Testing

/// Every layer between two tasks and what they share: its backward runs once for each task, in memory that is reused.
@Suite(.serialized) struct TaskSweepTests {
  /// Gradients that are bounded do not add up, and the centres of CenterLoss take the paper's step whatever the loss's
  /// gradient is.
  private static let cases = SweepTests.cases.filter {
    !["bounded gradients", "centres that learn"].contains($0.example.name)
  }

  private static func makeNet(_ test: SweepTests.Case, _ order: BackwardOrder?) throws -> Net {
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
    let net = try Net(
      NetSource(text: prototxt(test.example), file: "\(test.example.name).prototxt"),
      engine: SweepTests.engine(test.engine), catalogue: LayerCatalogue(layerTypes), options: options)
    for (index, input) in test.example.inputs.enumerated() {
      guard let blob = net.versions(of: "in\(index)").first else { continue }
      input.fill(blob.values, RandomStream(seed: 3, UInt64(index)))
    }
    return net
  }

  /// Whether the example's net cannot be surrounded by two tasks.
  private static func isRefused(_ test: SweepTests.Case) -> Bool {
    do {
      for order in [nil, BackwardOrder.taskByTask] { try makeNet(test, order).forward() }
      return false
    } catch is Diagnostic {
      return true
    } catch { return false }
  }

  /// Each pass decides how many rows their tops have, which no task here can be made of.
  private static let rowsVary: Set<String> = [
    "DetectionEvaluate", "DetectionOutput", "Filter", "Python", "YoloDetectionOutput", "Yolov3DetectionOutput",
  ]

  /// Nothing else is left out.
  @Test func whatIsLeftOut() {
    let refused = TaskSweepTests.cases.filter(TaskSweepTests.isRefused)
    #expect(Set(refused.map(\.type)).subtracting(TaskSweepTests.rowsVary) == [])
  }

  @Test(arguments: cases.filter { !rowsVary.contains($0.type) || !isRefused($0) })
  func backwardRunsForEachTask(_ test: SweepTests.Case) throws {
    let plain = try TaskSweepTests.makeNet(test, nil)
    let byTask = try TaskSweepTests.makeNet(test, .taskByTask)
    var found: [[[Float]]] = []
    for net in [plain, byTask] {
      try net.forward()
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

  /// A Scale that learns before each input, and two losses on every top; what the layer
  /// itself would add to the objective is left out.
  private static func prototxt(_ example: LayerExample) throws -> String {
    var net = try NetSource(text: SweepNet.prototxt(example, surrounded: .inPlace, lossTop: -1), file: "sweep")
      .parameter
    let tops = net.layer.filter { $0.name.hasPrefix("behind ") }.flatMap(\.top)
    for (index, top) in tops.enumerated() {
      // A loss has no axis to be summed over.
      var flat = LayerParameter()
      (flat.name, flat.type, flat.bottom, flat.top) = ("flat \(index)", "Reshape", [top], ["flat \(index)"])
      flat.reshapeParam.shape.dim = [-1]
      net.layer.append(flat)
      for (task, operation) in [(0, ReductionParameter.ReductionOp.sum), (1, .sumsq)] {
        var layer = LayerParameter()
        (layer.name, layer.type, layer.bottom, layer.top) = (
          "task \(task), top \(index)", "Reduction", flat.top, ["loss \(task) top \(index)"]
        )
        layer.reductionParam.operation = operation
        layer.reductionParam.coeff = 0.3
        layer.lossWeight = [1]
        net.layer.append(layer)
      }
    }
    return net.textFormatString()
  }
}
