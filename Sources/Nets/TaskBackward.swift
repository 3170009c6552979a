import Compute
import Tensors

/// In which order the backward steps of a net with several tasks are run.
package enum BackwardOrder: String, Sendable {
  /// All tasks at once, as a net without tasks does.
  case together
  /// Layers that tasks share run once for each of them, so that their parameters get a gradient of every task; the layers
  /// of one task alone run once.
  case taskByTask
  /// The layers of single tasks; then the gradients of the blobs that they read from shared layers are weighted; then the
  /// shared layers, once.
  case weightedRepresentation
}

/// The backward steps of a net in one order.
///
/// A gradient has no place of its own here: each step is given the places of the gradients that it reads and writes in
/// this pass, and where a blob has one reader on the way to the pass's task, its gradient is the reader's.
struct TaskBackward {
  private(set) var steps: [Step] = []
  /// As `MemoryPlan` takes them, counted from the first of `steps`.
  private(set) var inPlace: [MemoryPlan.RegionPair] = []
  private(set) var sharedGradients: [MemoryPlan.RegionPair] = []

  private let reach: TaskReach
  private let engine: any Engine
  /// Of the present pass: where the gradient of a blob lies.
  private var places: [ObjectIdentifier: Region] = [:]
  /// Gradients of losses on blobs of shared layers, made before the rest; see `weigh`.
  private var seeds: [ObjectIdentifier: Region] = [:]
  /// Per node: the tasks whose gradients of its parameters are still to be made.
  private var waiting: [ObjectIdentifier: [TaskTurn]] = [:]
  /// The gradients that stay factors until the tasks have weights.
  private(set) var factored: [FactoredGradients] = []
  /// Whether each task's gradient of each parameter is made in its pass.
  private let makesAll: Bool

  /// - Parameters:
  ///   - representation: takes the gradients that are weighted, for `weightedRepresentation`.
  ///   - makesAll: whether each task's gradient of each parameter is made in its pass, and added to that of earlier passes.
  init(
    _ nodes: [BoundNode], _ order: BackwardOrder, _ reach: TaskReach, engine: any Engine,
    representation: RepresentationGradients? = nil, makesAll: Bool = false
  ) throws {
    self.makesAll = makesAll
    self.reach = reach
    self.engine = engine
    switch order {
    case .together:
      try pass(nil, nodes) { _ in true }
    case .taskByTask:
      for task in 0..<reach.taskCount {
        places = [:]
        // What no task lies behind has no gradient to wait for.
        try pass(task, nodes) { reach.tasks(of: $0).contains(task) || task == 0 && reach.tasks(of: $0).isEmpty }
      }
      compareFactored()
    case .weightedRepresentation:
      try pass(nil, nodes) { !reach.isShared($0) }
      if let representation { try weigh(nodes, representation) }
      try pass(nil, nodes) { reach.isShared($0) }
    }
  }

  /// - Parameter task: nil for all.
  private mutating func pass(_ task: Int?, _ nodes: [BoundNode], where isPart: (BoundNode) -> Bool) throws {
    for node in nodes.reversed() where isPart(node) && (node.runsBackward || node.kind != .reorder) {
      for top in node.tops where top.blob.hasGradient { try gather(top, producer: node, task) }
      if node.runsBackward { try backward(node, task) }
    }
  }

  private func gradientPlace(of blob: Blob) -> Region? { places[ObjectIdentifier(blob)] }

  private func newPlace(for blob: Blob) -> Region { Region(byteCount: blob.layout.byteCount(for: blob.shape)) }

  // MARK: A blob's gradient

  private mutating func gather(_ site: BlobSite, producer: BoundNode, _ task: Int?) throws {
    let blob = site.blob
    guard !site.isFed else { preconditionFailure("gradients of tasks come from losses") }
    var parts = site.branches.compactMap { gradientPlace(of: $0.blob) }
    if let loss = site.loss, task == nil || loss.task == task {
      parts.append(try seeds[ObjectIdentifier(site)] ?? seed(site, loss, producer))
    }
    if parts.count == 1 {
      places[ObjectIdentifier(blob)] = parts[0]
      return
    }
    let place = newPlace(for: blob)
    places[ObjectIdentifier(blob)] = place
    if parts.isEmpty {
      let bytes = place.byteCount
      steps.append(
        Step(
          kind: .zero, layer: producer.layer, name: site.name, bottoms: [], tops: [blob], reads: [], writes: [place]
        ) {
          place.pointer.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        })
      return
    }
    try sum(parts, into: place, blob, producer)
  }

  private mutating func seed(_ site: BlobSite, _ loss: LossTerm, _ producer: BoundNode) throws -> Region {
    let blob = site.blob
    let place = newPlace(for: blob)
    let write = try LossSeed(blob, loss, engine: engine)
    steps.append(
      Step(
        kind: .seed, layer: producer.layer, name: site.name, bottoms: [], tops: [blob], reads: [], writes: [place]
      ) {
        write(liveCount: blob.liveCount, to: place.pointer)
      })
    return place
  }

  private mutating func sum(_ parts: [Region], into place: Region, _ blob: Blob, _ producer: BoundNode) throws {
    let description = SumDescription(shape: blob.shape, coefficients: parts.map { _ in 1 })
    let op = try engine.sum(description, bottom: blob.layout)
    let pointers = PointerList(parts.count)
    steps.append(
      Step(
        kind: .sum, layer: producer.layer, name: blob.name, bottoms: [], tops: [blob], reads: parts, writes: [place],
        implementation: op.implementation
      ) {
        for (index, part) in parts.enumerated() { pointers[index] = part.pointer }
        op.forward(bottoms: pointers.base, top: place.pointer)
      })
  }

  // MARK: A node

  private mutating func backward(_ node: BoundNode, _ task: Int?) throws {
    guard let run = node.run else { preconditionFailure("'\(node.name)' is not bound") }
    let turn = turn(of: node, task)
    notePairs(of: node)
    guard let task, !makesAll, reach.isShared(node), let run = run as? any TaskwiseRun else {
      steps.append(step(node, [turn], writes: turn.writes) { try run.backward() })
      return
    }
    let isLast = task == reach.tasks(of: node).max()
    let isFactored = (run as? any FactoredRun).map { reach.isOnlyLearned($0.factored, by: node) } ?? false
    let tasksAtOnce = (run as? any TasksAtOnceRun)?.tasksAtOnce ?? 1
    guard isFactored || tasksAtOnce > 1 else {
      steps.append(step(node, [turn], writes: turn.writes) { try run.backward() })
      return
    }
    steps.append(step(node, [turn], writes: turn.writes, isWhole: false) { try run.backwardBottoms() })
    waiting[ObjectIdentifier(node), default: []].append(turn)
    let turns = waiting[ObjectIdentifier(node), default: []]
    if isFactored, let run = run as? any FactoredRun {
      guard isLast else { return }
      factored.append(FactoredGradients(node, run, turns, reach.tasks(of: node).sorted()))
    } else if let run = run as? any TasksAtOnceRun {
      guard isLast || turns.count == tasksAtOnce else { return }
      steps.append(
        step(node, turns, writes: [], isWhole: false) {
          try run.backwardParameters(tasks: turns.count) { turns[$0].select() }
        })
    }
    waiting[ObjectIdentifier(node)] = nil
  }

  /// Behind all passes, so that the factors stay where they are until the tasks have weights.
  private mutating func compareFactored() {
    guard !factored.isEmpty else { return }
    let scratches = factored.flatMap(\.scratches)
    steps.append(
      Step(
        kind: .compare, layer: nil, name: "tasks", bottoms: [], tops: [], reads: factored.flatMap(\.reads),
        writes: scratches
      ) { [factored] in
        for gradients in factored { gradients.compare() }
      })
  }

  /// - Parameters:
  ///   - turns: the tasks that it is about; the first is selected before it runs.
  ///   - isWhole: whether it is all of the node's backward.
  private func step(
    _ node: BoundNode, _ turns: [TaskTurn], writes: [Region], isWhole: Bool = true, _ run: @escaping () throws -> Void
  ) -> Step {
    let lent = node.scratches.map { (slot: $0, place: Region(byteCount: $0.byteCount)) }
    let described = node.run as? any DescribedRun
    let data = node.backwardReads ?? node.bottoms.map(\.dataRegion) + node.tops.map(\.blob.dataRegion)
    return Step(
      kind: node.kind == .reorder ? .reorderBack : .backward, layer: node.layer, name: node.name,
      bottoms: node.bottoms, tops: node.tops.map(\.blob), reads: data + turns.flatMap(\.reads) + node.workspaces,
      writes: writes + lent.map(\.place), implementation: described?.implementation, absorbed: node.absorbed,
      multiplyAdds: isWhole ? described?.multiplyAdds.backward ?? 0 : 0
    ) {
      for (slot, place) in lent { slot.place(at: place.pointer) }
      turns[0].select()
      try run()
    }
  }

  /// The places of a node's gradients in the present pass.
  private mutating func turn(of node: BoundNode, _ task: Int?) -> TaskTurn {
    var turn = TaskTurn()
    for top in node.tops where top.blob.hasGradient {
      guard let place = gradientPlace(of: top.blob) else { preconditionFailure("'\(top.name)' has no gradient") }
      turn.reads.append(place)
      turn.lent.append((top.blob.gradientRegion, place))
    }
    if node.changesTopGradients { turn.writes = turn.reads }
    for bottom in node.bottoms where bottom.hasGradient {
      let place = viewing(bottom, node).flatMap { gradientPlace(of: $0) } ?? newPlace(for: bottom)
      places[ObjectIdentifier(bottom)] = place
      turn.writes.append(place)
      turn.lent.append((bottom.gradientRegion, place))
    }
    turn.rows = node.learned.compactMap { parameter in
      reach.row(of: parameter, task: task ?? -1).map { (parameter, $0) }
    }
    return turn
  }

  /// The top whose gradient is the bottom's by the layer's nature, as that of Reshape is.
  private func viewing(_ bottom: Blob, _ node: BoundNode) -> Blob? {
    node.tops.first { $0.blob.hasGradient && $0.blob.gradientRegion.root === bottom.gradientRegion.root }?.blob
  }

  private mutating func notePairs(of node: BoundNode) {
    for (bottom, top) in node.inPlace {
      guard let old = gradientPlace(of: top), let new = gradientPlace(of: bottom) else { continue }
      inPlace.append(.init(step: steps.count, old: old, new: new))
    }
    for (first, second) in node.sharedGradients {
      guard let old = gradientPlace(of: first), let new = gradientPlace(of: second) else { continue }
      sharedGradients.append(.init(step: steps.count, old: old, new: new))
    }
  }

  // MARK: At the representation

  /// Between the heads and the shared layers: the step that weights what the heads have left.
  private mutating func weigh(_ nodes: [BoundNode], _ representation: RepresentationGradients) throws {
    for node in nodes where reach.isShared(node) {
      for site in node.tops where site.blob.hasGradient {
        var parts: [RepresentationGradients.Part] = []
        func add(_ place: Region, _ task: Int) {
          parts.append(.init(task: task, gradient: place, count: place.byteCount / MemoryLayout<Float>.stride))
        }
        for branch in site.branches {
          guard let place = gradientPlace(of: branch.blob), let task = reach.tasks(of: branch.reader).first else {
            continue
          }
          add(place, task)
        }
        if let loss = site.loss, let task = loss.task {
          let place = try seed(site, loss, node)
          seeds[ObjectIdentifier(site)] = place
          add(place, task)
        }
        if !parts.isEmpty { representation.blobs.append(parts) }
      }
    }
    let gradients = representation.blobs.flatMap { $0.map(\.gradient) }
    steps.append(
      Step(
        kind: .weigh, layer: nil, name: "tasks", bottoms: [], tops: [], reads: gradients, writes: gradients,
        run: { representation.apply() }))
  }
}

/// What is asked of a net whose tasks' gradients are told apart.
package struct TaskOptions: Sendable {
  /// Per task: the indices of its losses among the graph's values. Every loss belongs to one task.
  package var losses: @Sendable (Graph) -> [[Int]]
  /// How `Net.backward` goes.
  package var order: BackwardOrder
  /// Whether `Net.backwardTaskByTask` is wanted besides.
  package var measures: Bool
  /// Whether the gradients of several passes are added up before they are compared.
  package var accumulates: Bool

  /// Whether one of the orders that are asked for is `taskByTask`.
  var tellsApart: Bool { order == .taskByTask || measures }

  package init(
    order: BackwardOrder, measures: Bool = false, accumulates: Bool = false,
    losses: @escaping @Sendable (Graph) -> [[Int]]
  ) {
    self.accumulates = accumulates
    self.order = order
    self.measures = measures
    self.losses = losses
  }
}

/// The orders of backward steps that a net was asked for.
struct TaskOrders {
  let training: TaskBackward
  let measuring: TaskBackward?
  let gradients: TaskGradients?
  let representation: RepresentationGradients?

  /// - Parameter makesAll: see `TaskBackward`.
  init(
    _ nodes: [BoundNode], _ reach: TaskReach, _ options: TaskOptions, _ engine: any Engine, makesAll: Bool
  ) throws {
    representation =
      options.order == .weightedRepresentation
      ? RepresentationGradients(taskCount: reach.taskCount, engine: engine) : nil
    training = try TaskBackward(
      nodes, options.order, reach, engine: engine, representation: representation, makesAll: makesAll)
    measuring =
      options.measures && options.order != .taskByTask
      ? try TaskBackward(nodes, .taskByTask, reach, engine: engine, makesAll: makesAll) : nil
    gradients =
      options.tellsApart
      ? TaskGradients(reach, (measuring ?? training).factored, engine: engine) : nil
  }

  /// The pairs for `MemoryPlan` of all steps, in the order training, measuring.
  func pairs(after first: Int) -> (shared: [MemoryPlan.RegionPair], inPlace: [MemoryPlan.RegionPair]) {
    func moved(_ pairs: [MemoryPlan.RegionPair], by count: Int) -> [MemoryPlan.RegionPair] {
      pairs.map { MemoryPlan.RegionPair(step: $0.step + count, old: $0.old, new: $0.new) }
    }
    let second = first + training.steps.count
    return (
      moved(training.sharedGradients, by: first) + moved(measuring?.sharedGradients ?? [], by: second),
      moved(training.inPlace, by: first) + moved(measuring?.inPlace ?? [], by: second)
    )
  }
}
