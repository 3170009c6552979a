import CaffeSchema
import Nets
import Tensors

/// A net as a graph in the `dot` language: a box for each layer with those that work in place on its top, an edge for
/// each blob with its shape. Layers that serve one task alone have the task's colour, those that several share none.
package struct NetDrawing {
  /// Which way the data go.
  package enum Direction: String, CaseIterable, Sendable {
    case down = "TB"
    case right = "LR"
    case up = "BT"
    case left = "RL"
  }

  private let graph: Graph
  private let table: TaskTable
  private let title: String
  private let direction: Direction
  /// Per layer: the box that it is drawn in, by the index of its first layer.
  private let boxes: [Int]
  /// Per layer: the tasks whose loss or metrics need it.
  private let tasks: [Set<Int>]

  private static let shared = "#f2f2f2"

  /// - Parameter named: tasks that have names of their own; see `TaskTable`.
  package init(_ graph: Graph, tasks named: [TaskParameter] = [], title: String, direction: Direction = .down) {
    self.graph = graph
    self.title = title
    self.direction = direction
    let table = TaskTable(graph, named: named)
    self.table = table
    var boxes = Array(graph.nodes.indices)
    for (index, node) in graph.nodes.enumerated() {
      guard let producer = NetDrawing.host(of: node, graph) else { continue }
      boxes[index] = boxes[producer]
    }
    self.boxes = boxes
    tasks = NetDrawing.tasks(graph, table)
  }

  /// The layer whose only top this one works on in place.
  private static func host(of node: Graph.Node, _ graph: Graph) -> Int? {
    guard node.bottoms.count == 1, node.tops.count == 1 else { return nil }
    let (bottom, top) = (graph.values[node.bottoms[0]], graph.values[node.tops[0]])
    guard bottom.name == top.name, bottom.consumers.count == 1 else { return nil }
    return graph.nodes[bottom.producer].tops.count == 1 ? bottom.producer : nil
  }

  private static func tasks(_ graph: Graph, _ table: TaskTable) -> [Set<Int>] {
    var tasks = [Set<Int>](repeating: [], count: graph.nodes.count)
    for (number, task) in table.tasks.enumerated() {
      var open = (task.losses + task.metrics).map { graph.values[$0].producer }
      while let node = open.popLast() {
        guard tasks[node].insert(number).inserted else { continue }
        open += graph.nodes[node].bottoms.map { graph.values[$0].producer }
      }
    }
    return tasks
  }

  /// The drawing.
  package var dot: String {
    var lines = [
      "digraph net {", "  rankdir=\(direction.rawValue); bgcolor=white; nodesep=0.3; ranksep=0.35;",
      "  labelloc=t; label=\(quoted(title)); fontname=\"Helvetica\"; fontsize=20;",
      "  node [shape=box, style=\"rounded,filled\", fontname=\"Helvetica\", fontsize=13, margin=\"0.15,0.08\"];",
      "  edge [fontname=\"Helvetica\", fontsize=11, color=\"#555555\", arrowsize=0.7];",
    ]
    for index in graph.nodes.indices where boxes[index] == index { lines.append("  " + box(index)) }
    for index in graph.nodes.indices where boxes[index] == index { lines += edges(into: index).map { "  " + $0 } }
    lines += outputs.map { "  " + $0 }
    if table.tasks.count > 1 { lines += legend.map { "  " + $0 } }
    return (lines + ["}"]).joined(separator: "\n") + "\n"
  }

  private func box(_ index: Int) -> String {
    let members = graph.nodes.indices.filter { boxes[$0] == index }
    let text = members.map { member in
      let node = graph.nodes[member]
      let detail = LayerSummary(node).text
      return "\(node.fields.name)\n\(node.fields.parameter.type)" + (detail.isEmpty ? "" : "  \(detail)")
    }.joined(separator: "\n")
    let isData = graph.nodes[index].definition.role == .data
    let ends = [.loss, .metric].contains(graph.nodes[index].definition.role)
    let shape = isData ? ", shape=cylinder, style=filled" : ends ? ", penwidth=2" : ""
    return "n\(index) [label=\(quoted(text)), fillcolor=\"\(fill(index))\"\(shape)];"
  }

  private func fill(_ index: Int) -> String {
    guard table.tasks.count > 1, tasks[index].count == 1, let task = tasks[index].first else {
      return NetDrawing.shared
    }
    return TaskColours.fill(task)
  }

  private func edges(into box: Int) -> [String] {
    graph.nodes.indices.filter { boxes[$0] == box }.flatMap { index -> [String] in
      graph.nodes[index].bottoms.compactMap { bottom in
        let value = graph.values[bottom]
        let from = boxes[value.producer]
        guard from != box else { return nil }
        return "n\(from) -> n\(box) [label=\(quoted(" \(value.name)\n \(value.shape)"))];"
      }
    }
  }

  /// Blobs that no layer reads.
  private var outputs: [String] {
    graph.outputs.flatMap { output -> [String] in
      let value = graph.values[output]
      let weight = value.lossWeight == 0 || value.lossWeight == 1 ? "" : "\nweight \(value.lossWeight)"
      let text = quoted("\(value.name)\n\(value.shape)\(weight)")
      return [
        "o\(output) [label=\(text), shape=plaintext, style=\"\"];", "n\(boxes[value.producer]) -> o\(output);",
      ]
    }
  }

  private var legend: [String] {
    let rows = table.tasks.enumerated().map { number, task in
      "<tr><td bgcolor=\"\(TaskColours.fill(number))\">\(escaped(task.name))</td></tr>"
    }
    return [
      "tasks [shape=plaintext, style=\"\", label=<<table border=\"0\" cellborder=\"1\" cellspacing=\"0\" cellpadding=\"5\">"
        + "<tr><td><b>tasks</b></td></tr>" + rows.joined()
        + "<tr><td bgcolor=\"\(NetDrawing.shared)\">shared</td></tr></table>>];"
    ]
  }

  private func quoted(_ text: String) -> String {
    var result = "\""
    for character in text {
      switch character {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      default: result.append(character)
      }
    }
    return result + "\""
  }

  private func escaped(_ text: String) -> String {
    text.map { ["<": "&lt;", ">": "&gt;", "&": "&amp;"][$0] ?? String($0) }.joined()
  }
}

/// The fields that tell most of a layer, as short as they can be: `5x5, 20`.
struct LayerSummary {
  let text: String

  init(_ node: Graph.Node) {
    let layer = node.fields.parameter
    switch layer.type {
    case _ where layer.hasConvolutionParam:
      let param = layer.convolutionParam
      text =
        LayerSummary.window(
          kernel: param.kernelSize.map(Int.init), pair: (Int(param.kernelH), Int(param.kernelW)),
          stride: param.stride.first ?? param.strideH, pad: param.pad.first ?? param.padH)
        + ", \(param.numOutput)" + (param.group > 1 ? ", groups \(param.group)" : "")
    case _ where layer.hasPoolingParam && layer.poolingParam.globalPooling:
      text = "\(layer.poolingParam.pool) all".lowercased()
    case _ where layer.hasPoolingParam:
      let param = layer.poolingParam
      text =
        "\(param.pool) ".lowercased()
        + LayerSummary.window(
          kernel: param.hasKernelSize ? [Int(param.kernelSize)] : [], pair: (Int(param.kernelH), Int(param.kernelW)),
          stride: param.hasStride ? param.stride : param.strideH, pad: param.hasPad ? param.pad : param.padH)
    case _ where layer.hasInnerProductParam: text = "\(layer.innerProductParam.numOutput)"
    case _ where layer.hasDropoutParam: text = "\(layer.dropoutParam.dropoutRatio)"
    case _ where layer.hasEltwiseParam: text = "\(layer.eltwiseParam.operation)".lowercased()
    default: text = ""
    }
  }

  private static func window(kernel: [Int], pair: (Int, Int), stride: UInt32, pad: UInt32) -> String {
    let sides = kernel.isEmpty ? [pair.0, pair.1] : kernel.count == 1 ? [kernel[0], kernel[0]] : kernel
    return sides.map(String.init).joined(separator: "x") + (stride > 1 ? " /\(stride)" : "")
      + (pad > 0 ? " pad \(pad)" : "")
  }
}
