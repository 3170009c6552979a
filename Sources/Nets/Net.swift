import CaffeSchema
import Compute
import Diagnostics
import Tensors

/// A net that runs: layers bound to an engine, blobs with their places, and the order of its steps.
package final class Net {
  package let name: String
  package let phase: Phase
  package let engine: any Engine
  /// The definition that it was built from, all phases: what a snapshot carries.
  package let source: NetSource
  package let graph: Graph
  package let parameterTable: ParameterTable
  package let clock: NetClock
  package let forwardSteps: [Step]
  /// Empty when nothing wants a gradient.
  package let backwardSteps: [Step]
  /// Backward steps task by task, where `backwardSteps` are others; see `TaskOptions.measures`.
  package let measuringSteps: [Step]?
  /// The gradients of tasks in what they share, where they are asked for.
  package let taskGradients: TaskGradients?
  package let representationGradients: RepresentationGradients?
  package let memoryPlan: MemoryPlan
  private let memory: Memory
  private let sites: [BlobSite]
  private let runs: [any LayerRun]
  /// What its layers were chosen by.
  let state: NetState
  /// Is told of each step that has run; nil for nobody. The blobs of a step are sure to be there in nets that keep
  /// everything.
  package var watcher: ((Step) throws -> Void)?

  /// Builds the layers of `source` that belong to `options.state`.
  ///
  /// - Throws: a `Diagnostic` for the first fault in the definition, with its place.
  package init(_ source: NetSource, engine: any Engine, catalogue: LayerCatalogue, options: NetOptions) throws {
    self.source = source
    self.engine = engine
    name = source.parameter.name
    state = options.state
    phase = state.phase
    clock = NetClock(seed: options.seed)
    var graphOptions = options.graph
    graphOptions.forceBackward = graphOptions.forceBackward || source.parameter.forceBackward
    graph = try Graph(
      layers: source.layers(in: options.state), phase: phase, paths: PathSearch(besideFile: source.file),
      catalogue: catalogue, options: graphOptions)
    try Net.refuseStatisticsOfParts(source, graph)
    parameterTable = try ParameterTable(graph, sharing: options.sharing?.parameterTable, seed: options.seed)
    let binder = Binder(engine: engine)
    let losses = options.tasks?.losses(graph)
    let tasks = losses.map(graph.tasksBehind)
    try binder.bind(
      graph, parameters: parameterTable.byLayer, clock: clock, pinsEverything: options.keepsEverything,
      options: graphOptions, tasks: tasks, tellsTasksApart: options.tasks?.tellsApart ?? false)
    sites = binder.sites
    for (task, own) in (losses ?? []).enumerated() {
      for loss in own { sites[loss].loss?.task = task }
    }
    var runs: [any LayerRun] = graph.nodes.map { _ in AbsorbedRun() }
    for node in binder.nodes {
      if let layer = node.layer, let run = node.run { runs[layer] = run }
    }
    self.runs = runs
    let schedule = try Schedule(binder.nodes, engine: engine, ordersTasks: options.tasks != nil)
    forwardSteps = schedule.forward
    var pairs: (shared: [MemoryPlan.RegionPair], inPlace: [MemoryPlan.RegionPair])
    if let taskOptions = options.tasks, let tasks {
      let orders = try TaskOrders(
        binder.nodes, TaskReach(binder.nodes, ofLayer: tasks, taskCount: losses?.count ?? 0), taskOptions, engine,
        makesAll: taskOptions.accumulates || options.keepsEverything)
      backwardSteps = orders.training.steps
      measuringSteps = orders.measuring?.steps
      taskGradients = orders.gradients
      representationGradients = orders.representation
      pairs = orders.pairs(after: forwardSteps.count)
    } else {
      backwardSteps = graphOptions.learns || graphOptions.forceBackward ? schedule.backward : []
      measuringSteps = nil
      taskGradients = nil
      representationGradients = nil
      let backward = Net.nodes(of: backwardSteps, binder.nodes, after: forwardSteps.count)
      pairs = (Net.sharedPairs(backward), Net.inPlacePairs(backward))
    }
    pairs.inPlace.insert(contentsOf: Net.inPlacePairs(forward: binder.nodes), at: 0)
    let steps = forwardSteps + backwardSteps + (measuringSteps ?? [])
    let pinned = sites.flatMap { [$0.blob.dataRegion, $0.blob.gradientRegion] }.filter(\.root.isPinned)
    memoryPlan = MemoryPlan(steps: steps, shared: pairs.shared, inPlace: pairs.inPlace, pinned: pinned)
    memory = Memory(byteCount: memoryPlan.byteCount)
    memoryPlan.apply(to: steps, pinned: pinned, memory: memory)
    try prepare()
  }

  /// Of Intel's fork.
  private static func refuseStatisticsOfParts(_ source: NetSource, _ graph: Graph) throws {
    guard source.parameter.bnStatsBatchSize > 0,
      graph.nodes.contains(where: { $0.fields.parameter.type == "BatchNorm" })
    else { return }
    throw Diagnostic(
      .unsupported, "bn_stats_batch_size is not supported: BatchNorm takes the statistics of the whole batch",
      at: source.places.location("bn_stats_batch_size"))
  }

  /// Layers that keep constants in pinned tops write them now that the tops have their places.
  private func prepare() throws {
    for case let run as any PreparedRun in runs { try run.prepare() }
  }

  /// The nodes whose backward steps are among `steps`, with the steps' numbers.
  private static func nodes(of steps: [Step], _ nodes: [BoundNode], after first: Int) -> [(step: Int, node: BoundNode)]
  {
    let byLayer = Dictionary(
      nodes.compactMap { node in node.layer.map { ($0, node) } }, uniquingKeysWith: { first, _ in first })
    return steps.enumerated().compactMap { index, step in
      step.kind == .backward ? step.layer.flatMap { byLayer[$0] }.map { (step: first + index, node: $0) } : nil
    }
  }

  /// Of the data that forward steps may write over others.
  private static func inPlacePairs(forward nodes: [BoundNode]) -> [MemoryPlan.RegionPair] {
    nodes.enumerated().flatMap { step, node in
      node.inPlace.map { MemoryPlan.RegionPair(step: step, old: $0.bottom.dataRegion, new: $0.top.dataRegion) }
    }
  }

  /// Of the gradients that backward steps may write over others.
  private static func inPlacePairs(_ backward: [(step: Int, node: BoundNode)]) -> [MemoryPlan.RegionPair] {
    backward.flatMap { step, node in
      node.inPlace.filter { $0.bottom.hasGradient && $0.top.hasGradient }
        .map { MemoryPlan.RegionPair(step: step, old: $0.top.gradientRegion, new: $0.bottom.gradientRegion) }
    }
  }

  /// Of the gradients that backward steps make equal.
  private static func sharedPairs(_ backward: [(step: Int, node: BoundNode)]) -> [MemoryPlan.RegionPair] {
    backward.flatMap { step, node in
      node.sharedGradients.filter { $0.first.hasGradient && $0.second.hasGradient }
        .map { MemoryPlan.RegionPair(step: step, old: $0.first.gradientRegion, new: $0.second.gradientRegion) }
    }
  }

  // MARK: Running

  /// Computes all blobs from the inputs, and the objective: the sum of the losses times their weights.
  @discardableResult
  package func forward() throws -> Float {
    try run(forwardSteps)
    clock.pass += 1
    return objective
  }

  /// Adds the gradient of the objective to the parameters', after `forward`.
  package func backward() throws { try run(backwardSteps) }

  private func run(_ steps: [Step]) throws {
    guard let watcher else {
      for step in steps { try step.run() }
      return
    }
    for step in steps {
      try step.run()
      try watcher(step)
    }
  }

  /// The same task by task, so that `taskGradients` has the gradients of each.
  package func backwardTaskByTask() throws {
    for step in measuringSteps ?? backwardSteps { try step.run() }
  }

  package func clearGradients() {
    for entry in parameterTable.unique { entry.parameter.clearGradient() }
  }

  /// The sum over the losses of weight times value, from the last forward pass.
  package var objective: Float {
    var sum: Float = 0
    for site in sites {
      guard let loss = site.loss else { continue }
      var value: Float = 0
      for i in 0..<site.blob.liveCount { value += site.blob.values[i] }
      sum += loss.weight * value
    }
    return sum
  }

  // MARK: Looking in

  /// The terms of the objective with their blobs, in the order of the net.
  package var losses: [(term: LossTerm, blob: Blob)] {
    sites.compactMap { site in site.loss.map { ($0, site.blob) } }
  }

  /// What no layer reads, by name.
  package var outputs: [Blob] { graph.outputs.map { sites[$0].blob } }

  /// The newest version of a named blob; nil for one that is made and used up within a step (see
  /// `NetOptions.keepsEverything`).
  package func blob(_ name: String) -> Blob? { sites.last { $0.name == name && !$0.isAbsorbed }?.blob }

  /// Each version of the named blob, oldest first, but those that are made and used up within a step.
  package func versions(of name: String) -> [Blob] {
    sites.filter { $0.name == name && !$0.isAbsorbed }.map(\.blob)
  }

  /// The blob that value `index` of the graph became.
  ///
  /// - Precondition: it is not made and used up within a step, as no output and no top of a data layer is.
  package func blob(ofValue index: Int) -> Blob {
    precondition(!sites[index].isAbsorbed, "'\(sites[index].name)' exists within a step only")
    return sites[index].blob
  }

  /// The runs of the layers, in the order of `graph.nodes`.
  package func run(ofLayer index: Int) -> any LayerRun { runs[index] }

  /// A copy of a blob's values in the order of its shape, whatever its layout; of the rows that there are.
  package func values(of blob: Blob) throws -> [Float] { try plainCopy(of: blob, from: blob.data) }

  package func gradients(of blob: Blob) throws -> [Float] { try plainCopy(of: blob, from: blob.gradient) }

  private func plainCopy(of blob: Blob, from memory: UnsafeRawPointer) throws -> [Float] {
    let reorder = try engine.reorder(shape: blob.shape, from: blob.layout, to: .plain)
    let all = [Float](unsafeUninitializedCapacity: blob.count) { buffer, count in
      if let base = buffer.baseAddress { reorder.run(from: memory, to: base) }
      count = blob.count
    }
    return blob.rows == nil ? all : Array(all.prefix(blob.liveCount))
  }

  /// Feeds the gradient of an output that is no loss, of all rows or those that there are; for nets built with
  /// `seedsOutputs`.
  package func feed(gradient: [Float], of blob: Blob) throws {
    let live = gradient.prefix(blob.liveCount)
    precondition(live.count == blob.liveCount && gradient.count <= blob.count)
    let reorder = try engine.reorder(shape: blob.shape, from: .plain, to: blob.layout)
    let all = live + [Float](repeating: 0, count: blob.count - live.count)
    all.withUnsafeBytes { if let base = $0.baseAddress { reorder.run(from: base, to: blob.gradient) } }
  }
}

/// How a net is built.
package struct NetOptions {
  package var state: NetState
  package var graph = GraphOptions()
  /// Of fillers, dropout, shuffles.
  package var seed: UInt64 = 0
  /// A net whose parameters are used for the layers of the same names: the training net, for a test net.
  package var sharing: Net?
  /// Keeps every blob and gradient to be looked at after a pass, at the price of memory and of time: no layer does the
  /// work of another one.
  package var keepsEverything = false
  /// Set where the gradients of tasks are told apart.
  package var tasks: TaskOptions?

  package init(phase: Phase) {
    state = NetState()
    state.phase = phase
    graph.learns = phase == .train
  }
}

/// A run with something to write once, after memory is planned and before the first pass.
package protocol PreparedRun: LayerRun {
  func prepare() throws
}
