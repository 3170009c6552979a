import CaffeSchema
import Layers
import Nets
import Tasks
import Testing

@Suite struct TaskTableTests {
  private func graph(_ text: String) throws -> Graph {
    let source = try NetSource(text: text, file: "net.prototxt")
    return try Graph(
      layers: source.layers(in: NetState()), phase: .test, paths: PathSearch(), catalogue: LayerCatalogue(layerTypes),
      options: GraphOptions())
  }

  private static let inputs = """
    layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "b" type: "Input" top: "b" input_param { shape { dim: 2 dim: 3 } } }
    layer { name: "l" type: "Input" top: "l" input_param { shape { dim: 2 } } }
    """

  @Test func findsLossesWithTheirMetrics() throws {
    let graph = try graph(
      Self.inputs + """
        layer { name: "x" type: "SoftmaxWithLoss" bottom: "a" bottom: "l" top: "loss_smile" }
        layer { name: "y" type: "SoftmaxWithLoss" bottom: "b" bottom: "l" top: "pose_loss" loss_weight: 0.5 }
        layer { name: "m" type: "Accuracy" bottom: "b" bottom: "l" top: "right" }
        """)
    let table = TaskTable(graph, named: [])
    #expect(table.tasks.map(\.name) == ["smile", "pose"])
    #expect(table.tasks[0].metrics.isEmpty)
    #expect(table.tasks[1].metrics.map { graph.values[$0].name } == ["right"])
  }

  /// A metric over the heads of several tasks stands alone.
  @Test func aTableOfManyHeadsBelongsToNone() throws {
    let graph = try graph(
      Self.inputs.replacing("dim: 3", with: "dim: 2") + """
        layer { name: "x" type: "SoftmaxWithLoss" bottom: "a" bottom: "l" top: "loss_smile" }
        layer { name: "y" type: "SoftmaxWithLoss" bottom: "b" bottom: "l" top: "loss_young" }
        layer { name: "m" type: "AttributeAccuracy" bottom: "a" bottom: "l" bottom: "b" bottom: "l" top: "right" }
        """)
    let table = TaskTable(graph, named: [])
    #expect(table.tasks.map(\.name) == ["smile", "young", "right"])
    #expect(table.tasks[2].losses.isEmpty && table.tasks[2].metrics.count == 1)
  }

  @Test func keepsNamesThatWouldCollide() throws {
    let graph = try graph(
      Self.inputs + """
        layer { name: "x" type: "SoftmaxWithLoss" bottom: "a" bottom: "l" top: "age_loss" }
        layer { name: "y" type: "SoftmaxWithLoss" bottom: "b" bottom: "l" top: "loss_age" }
        layer { name: "z" type: "SoftmaxWithLoss" bottom: "b" bottom: "l" top: "loss" }
        """)
    #expect(TaskTable(graph, named: []).tasks.map(\.name) == ["age_loss", "loss_age", "loss"])
  }

  @Test func leavesOutLossesOfWeightZero() throws {
    let graph = try graph(
      Self.inputs + """
        layer { name: "x" type: "SoftmaxWithLoss" bottom: "a" bottom: "l" top: "x" loss_weight: 0 }
        layer { name: "m" type: "Accuracy" bottom: "a" bottom: "l" top: "m" }
        """)
    let tasks = TaskTable(graph, named: []).tasks
    #expect(tasks.map(\.name) == ["m"])
    #expect(tasks[0].losses.isEmpty)
  }
}
