import CaffeSchema
import ComputeReference
import Diagnostics
import Layers
import Nets
import Tasks
import Testing

@testable import Solvers

/// What `multi_task { task }` of a solver makes of the nets, and what it refuses.
@Suite struct TaskNamingTests {
  private static let net = """
    layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 2 } } }
    layer { name: "fc1" type: "InnerProduct" bottom: "a" top: "x1" inner_product_param { num_output: 3 } }
    layer { name: "fc2" type: "InnerProduct" bottom: "a" top: "x2" inner_product_param { num_output: 3 } }
    layer { name: "fc3" type: "InnerProduct" bottom: "a" top: "x3" inner_product_param { num_output: 3 } }
    layer { name: "p1" type: "SoftmaxWithLoss" bottom: "x1" bottom: "l" top: "loss1" loss_weight: 0.3 include { phase: TRAIN } }
    layer { name: "p2" type: "SoftmaxWithLoss" bottom: "x2" bottom: "l" top: "loss2" }
    layer { name: "p3" type: "SoftmaxWithLoss" bottom: "x3" bottom: "l" top: "loss_smile" }
    layer { name: "p4" type: "SoftmaxWithLoss" bottom: "x3" bottom: "l" top: "watched" loss_weight: 0 }
    layer { name: "m2" type: "Accuracy" bottom: "x2" bottom: "l" top: "top1" include { phase: TEST } }
    """

  private func nets(_ tasks: String) throws -> SolverNets {
    let text = """
      net_param { \(Self.net) }
      base_lr: 0.1 lr_policy: "fixed" max_iter: 1 test_iter: 1 test_interval: 1
      multi_task { \(tasks) }
      """
    return try SolverNets(
      SolverSettings(SolverSource(text: text, file: "s.prototxt")), engine: ReferenceEngine(),
      catalogue: LayerCatalogue(layerTypes), seed: 1)
  }

  private func described(_ net: Net) -> [String] {
    TaskTable(net).tasks.map { task in
      "\(task.name): \(task.losses.map { net.graph.values[$0].name }), \(task.metrics.map { net.graph.values[$0].name })"
    }
  }

  @Test func tasksAreFoundAndNamed() throws {
    let plain = try nets("")
    #expect(
      described(plain.train) == [
        #"loss1: ["loss1"], []"#, #"loss2: ["loss2"], []"#, #"smile: ["loss_smile"], []"#,
      ])
    let named = try nets(#"task { name: "digit" loss: "loss2" loss: "loss1" metric: "watched" }"#)
    #expect(described(named.train) == [#"digit: ["loss1", "loss2"], ["watched"]"#, #"smile: ["loss_smile"], []"#])
    #expect(
      described(named.tests[0]) == [#"digit: ["loss2"], ["watched", "top1"]"#, #"smile: ["loss_smile"], []"#])
    // By the name that it has in any case.
    let same = try nets(#"task { name: "smile" } task { name: "digit" loss: "loss2" }"#)
    #expect(described(same.train).map { $0.prefix(5) } == ["smile", "digit", "loss1"])
  }

  @Test func namesAreKeptInSnapshots() throws {
    let net = try nets(#"task { name: "digit" loss: "loss2" loss: "loss1" }"#).tests[0]
    #expect(net.source.parameter.task.map(\.name) == ["digit"])
  }

  @Test(arguments: [
    (#"task { loss: "loss1" }"#, "a task needs a name", 14),
    (#"task { name: "x" loss: "loss1" } task { name: "x" loss: "loss2" }"#, "there are two tasks 'x'", 54),
    (#"task { name: "x" loss: "los1" }"#, "task 'x': the training net has no loss 'los1'; did you mean 'loss1'?", 31),
    (#"task { name: "x" loss: "watched" }"#, "top 'watched' of the training net is no loss: its loss_weight is 0", 31),
    (
      #"task { name: "smil" }"#,
      "none of the net's tasks is called so; did you mean 'smile'? (tasks: loss1, loss2, smile)", 21
    ),
    (#"task { name: "x" loss: "loss1" } task { name: "y" loss: "loss1" }"#, "'loss1' belongs to task 'x' already", 64),
    (#"task { name: "x" loss: "loss1" loss: "loss1" }"#, "'loss1' is listed twice for task 'x'", 45),
    (#"task { name: "smile" loss: "loss1" }"#, "task 'smile' would be the task of loss 'loss_smile'", 21),
    (#"task { name: "x" loss: "loss1" metric: "top2" }"#, "no net has an output 'top2'; did you mean 'top1'?", 45),
    (#"task { name: "x" loss: "loss1" metric: "loss2" }"#, "'loss2' is a loss; list it with loss:", 45),
    (#"task { name: "x" loss: "loss1" metric: "x2" }"#, "top 'x2' is read by other layers", 45),
  ])
  func faults(_ tasks: String, _ message: String, _ column: Int) {
    let fault = #expect(throws: Diagnostic.self) { _ = try nets(tasks) }
    #expect(fault?.message.contains(message) == true, "\(fault?.message ?? "")")
    #expect(fault?.location?.file == "s.prototxt")
    #expect(fault?.location?.line == 12)
    #expect(fault?.location?.column == column)
  }
}
