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

  /// - Parameter representation: takes the gradients that are weighted, for `weightedRepresentation`.
  init(
    _ nodes: [BoundNode], _ order: BackwardOrder, _ reach: TaskReach, engine: any Engine,
    representation: RepresentationGradients? = nil
  ) throws {
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
    var lent = node.scratches.map { (slot: $0, place: Region(byteCount: $0.byteCount)) }
    let scratches = lent.map(\.place)
    var reads: [Region] = []
    for top in node.tops where top.blob.hasGradient {
      guard let place = gradientPlace(of: top.blob) else { preconditionFailure("'\(top.name)' has no gradient") }
      reads.append(place)
      lent.append((top.blob.gradientRegion, place))
    }
    var writes = node.changesTopGradients ? reads : []
    for bottom in node.bottoms where bottom.hasGradient {
      let place = viewing(bottom, node).flatMap { gradientPlace(of: $0) } ?? newPlace(for: bottom)
      places[ObjectIdentifier(bottom)] = place
      writes.append(place)
      lent.append((bottom.gradientRegion, place))
    }
    notePairs(of: node)
    let rows = node.learned.compactMap { parameter in
      reach.row(of: parameter, task: task ?? -1).map { (parameter, $0) }
    }
    steps.append(
      Step(
        kind: node.kind == .reorder ? .reorderBack : .backward, layer: node.layer, name: node.name,
        bottoms: node.bottoms, tops: node.tops.map(\.blob),
        reads: (node.backwardReads ?? node.bottoms.map(\.dataRegion) + node.tops.map(\.blob.dataRegion)) + reads
          + node.workspaces,
        writes: writes + scratches, implementation: (run as? any DescribedRun)?.implementation,
        absorbed: node.absorbed, multiplyAdds: (run as? any DescribedRun)?.multiplyAdds.backward ?? 0
      ) {
        for (slot, place) in lent { slot.place(at: place.pointer) }
        for (parameter, row) in rows { parameter.selectGradient(row) }
        try run.backward()
      })
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

  package init(order: BackwardOrder, measures: Bool = false, losses: @escaping @Sendable (Graph) -> [[Int]]) {
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

  init(_ nodes: [BoundNode], _ reach: TaskReach, _ options: TaskOptions, _ engine: any Engine) throws {
    representation =
      options.order == .weightedRepresentation
      ? RepresentationGradients(taskCount: reach.taskCount, engine: engine) : nil
    training = try TaskBackward(nodes, options.order, reach, engine: engine, representation: representation)
    measuring =
      options.measures && options.order != .taskByTask
      ? try TaskBackward(nodes, .taskByTask, reach, engine: engine) : nil
    let tellsApart = measuring != nil || options.order == .taskByTask
    gradients = tellsApart ? TaskGradients(reach, engine: engine) : nil
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
