import Tensors

/// Where a node finds the gradients of one task, or of all together.
struct TaskTurn {
  /// The places of the tops' gradients.
  var reads: [Region] = []
  var writes: [Region] = []
  /// The regions that the node's blobs have, and the places that they are given.
  var lent: [(slot: Region, place: Region)] = []
  var rows: [(parameter: Parameter, row: Int)] = []

  func select() {
    for (slot, place) in lent { slot.place(at: place.pointer) }
    for (parameter, row) in rows { parameter.selectGradient(row) }
  }
}

/// The gradients that several tasks have in the parameters of one node, kept as factors.
final class FactoredGradients {
  let parameters: [Parameter]
  /// The factors, which stay where they are from the pass of each task to `combine`.
  let reads: [Region]
  let scratches: [Region]
  private let run: any FactoredRun
  private let turns: [TaskTurn]
  /// Per turn.
  private let tasks: [Int]
  private let scratchSlots: [Region]
  /// Of each pair of turns, i <= j, row by row.
  private var products: [Double]

  init(_ node: BoundNode, _ run: any FactoredRun, _ turns: [TaskTurn], _ tasks: [Int]) {
    self.run = run
    self.turns = turns.map { turn in
      var factors = turn
      // All tasks' weighted sum is one gradient.
      factors.rows = []
      return factors
    }
    self.tasks = tasks
    parameters = run.factored
    let data = node.backwardReads ?? node.bottoms.map(\.dataRegion) + node.tops.map(\.blob.dataRegion)
    reads = data + turns.flatMap(\.reads)
    scratchSlots = node.scratches
    scratches = node.scratches.map { Region(byteCount: $0.byteCount) }
    products = [Double](repeating: 0, count: turns.count * turns.count)
  }

  private func lendScratches() {
    for (slot, place) in zip(scratchSlots, scratches) { slot.place(at: place.pointer) }
  }

  /// - Precondition: the parameters' gradients are clear: factors are those of one pass.
  func compare() {
    precondition(parameters.allSatisfy { $0.isGradientClear(0) }, "factors of several passes do not add up")
    lendScratches()
    run.compare(tasks: turns.count, select: { turns[$0].select() }) { i, j, product in
      products[i * turns.count + j] = product
    }
  }

  func add(to gram: inout GramMatrix) {
    for i in tasks.indices {
      for j in i..<tasks.count { gram.add(products[i * tasks.count + j], tasks[i], tasks[j]) }
    }
  }

  /// Makes the parameters' gradients the sum of the tasks' times their weights.
  func combine(_ weights: [Float]) {
    lendScratches()
    for parameter in parameters { parameter.selectGradient(0) }
    run.combine(tasks: turns.count, select: { turns[$0].select() }, weight: { weights[tasks[$0]] })
  }
}
