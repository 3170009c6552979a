import Tensors

extension Graph {
  /// Per node: the tasks whose losses its gradient comes from.
  ///
  /// - Parameter losses: per task, the indices of its losses among `values`.
  package func tasksBehind(_ losses: [[Int]]) -> [Set<Int>] {
    var ofValue = [Set<Int>](repeating: [], count: values.count)
    for (task, own) in losses.enumerated() {
      for loss in own { ofValue[loss].insert(task) }
    }
    var ofNode = [Set<Int>](repeating: [], count: nodes.count)
    for (index, node) in nodes.enumerated().reversed() where node.runsBackward {
      ofNode[index] = node.tops.reduce(into: []) { $0.formUnion(ofValue[$1]) }
      for (bottom, wantsGradient) in zip(node.bottoms, node.bottomWantsGradient) where wantsGradient {
        ofValue[bottom].formUnion(ofNode[index])
      }
    }
    return ofNode
  }
}

/// Which tasks' losses lie behind the bound nodes of a net, and which parameters several tasks share.
///
/// A node with one task behind it is part of that task's head; one with several is shared.
struct TaskReach {
  let taskCount: Int
  /// The parameters that several tasks learn, in the order of the nodes.
  private(set) var shared: [SharedParameter] = []
  private var ofNode: [ObjectIdentifier: Set<Int>] = [:]
  private var rows: [ObjectIdentifier: Int] = [:]
  /// Per parameter that learns: how many nodes it belongs to.
  private var learners: [ObjectIdentifier: Int] = [:]

  /// - Parameter ofLayer: what `Graph.tasksBehind` gives.
  init(_ nodes: [BoundNode], ofLayer: [Set<Int>], taskCount: Int) {
    self.taskCount = taskCount
    for node in nodes.reversed() {
      // Those of layers that are absorbed are the same.
      ofNode[ObjectIdentifier(node)] =
        node.layer.map { layer in ([layer] + node.absorbed).reduce(into: []) { $0.formUnion(ofLayer[$1]) } }
        ?? node.tops[0].branches.reduce(into: []) { tasks, branch in
          guard branch.reader.runsBackward, branch.blob.hasGradient else { return }
          tasks.formUnion(self.tasks(of: branch.reader))
        }
    }
    findShared(nodes)
  }

  private mutating func findShared(_ nodes: [BoundNode]) {
    var order: [Parameter] = []
    var users: [ObjectIdentifier: Set<Int>] = [:]
    for node in nodes where node.runsBackward {
      for parameter in node.learned {
        if users[ObjectIdentifier(parameter)] == nil { order.append(parameter) }
        users[ObjectIdentifier(parameter), default: []].formUnion(tasks(of: node))
        learners[ObjectIdentifier(parameter), default: 0] += 1
      }
    }
    for parameter in order {
      let tasks = users[ObjectIdentifier(parameter), default: []].sorted()
      guard tasks.count > 1 else { continue }
      rows[ObjectIdentifier(parameter)] = shared.count
      shared.append(SharedParameter(parameter: parameter, tasks: tasks))
    }
  }

  func tasks(of node: BoundNode) -> Set<Int> { ofNode[ObjectIdentifier(node)] ?? [] }

  func isShared(_ node: BoundNode) -> Bool { tasks(of: node).count > 1 }

  /// Whether `parameters` are some, and no other node learns one of them.
  func isOnlyLearned(_ parameters: [Parameter], by node: BoundNode) -> Bool {
    !parameters.isEmpty
      && parameters.allSatisfy { own in
        learners[ObjectIdentifier(own)] == 1 && node.learned.contains { $0 === own }
      }
  }

  /// Which gradient of a parameter a task's pass adds to; nil for one that a single task learns.
  func row(of parameter: Parameter, task: Int) -> Int? {
    rows[ObjectIdentifier(parameter)].flatMap { shared[$0].tasks.firstIndex(of: task) }
  }
}

/// A parameter that several tasks learn, and which: gradient i of it is that of `tasks[i]`.
package struct SharedParameter {
  package let parameter: Parameter
  package let tasks: [Int]
}
