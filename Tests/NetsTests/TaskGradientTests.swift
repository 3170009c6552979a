import CaffeSchema
import Compute
import ComputeCPU
import ComputeReference
import Layers
import Tensors
import Testing

@testable import Nets

/// The gradients that tasks have in what they share, against those of each loss alone.
@Suite(.serialized) struct TaskGradientTests {
  struct Case: CustomTestStringConvertible {
    let net: TaskNet
    let engine: String
    var testDescription: String { "\(net.name), \(engine)" }
  }

  static let cases = TaskNet.all.flatMap { net in ["reference", "cpu"].map { Case(net: net, engine: $0) } }

  private func makeNet(
    _ test: Case, _ order: BackwardOrder?, measures: Bool = false, accumulates: Bool = false
  ) throws -> Net {
    var options = NetOptions(phase: .train)
    options.seed = 5
    let names = test.net.losses
    options.tasks = order.map { order in
      TaskOptions(order: order, measures: measures, accumulates: accumulates) { graph in
        names.map { own in graph.values.indices.filter { own.contains(graph.values[$0].name) } }
      }
    }
    let engine: any Engine = try test.engine == "cpu" ? CPUEngine(threads: 2) : ReferenceEngine()
    return try Net(
      NetSource(text: test.net.text, file: "net.prototxt"), engine: engine, catalogue: LayerCatalogue(layerTypes),
      options: options)
  }

  /// The same pass each time.
  private func forward(_ net: Net) throws {
    net.clock.pass = 0
    net.clearGradients()
    try net.forward()
  }

  private func gradients(_ net: Net) -> [[Float]] {
    net.parameterTable.unique.map { values(of: $0.parameter) }
  }

  private func values(of parameter: Parameter) -> [Float] {
    Array(UnsafeBufferPointer(start: parameter.settledGradients(), count: parameter.count))
  }

  /// Of the last passes of `net`; another task's are gone.
  private func gradients(_ net: Net, ofTask task: Int, passes: Int = 1) throws -> [[Float]] {
    try run(net, passes: passes)
    let gradients = try #require(net.taskGradients)
    gradients.combine((0..<gradients.taskCount).map { $0 == task ? 1 : 0 })
    return self.gradients(net)
  }

  private func run(_ net: Net, passes: Int) throws {
    net.clearGradients()
    for _ in 0..<passes {
      net.clock.pass = 0
      try net.forward()
      try net.backward()
    }
  }

  /// The gradients of some tasks' losses times factors, by a net that knows no tasks.
  private func expected(_ net: Net, _ test: Case, factors: [Float]) throws -> [[Float]] {
    for loss in net.losses {
      let task = try #require(test.net.losses.firstIndex { $0.contains(loss.term.name) })
      loss.term.factor = factors[task]
    }
    try forward(net)
    try net.backward()
    return gradients(net)
  }

  /// Compares the gradients of all parameters, or of some.
  private func expectEqual(
    _ a: [[Float]], _ b: [[Float]], of net: Net, only isCompared: [Bool]? = nil, _ what: String
  ) {
    let layers = net.parameterTable.unique.map(\.layer)
    for index in a.indices where isCompared?[index] ?? true {
      // A sum that cancels, such as that of a bias before a BatchNorm, is as exact as what it adds up: numbers of the size
      // of the layer's other gradients.
      let size = b.indices.filter { layers[$0] == layers[index] }.flatMap { b[$0].map(abs) }.max() ?? 0
      let worst = zip(a[index], b[index]).map { abs($0 - $1) }.max() ?? 0
      #expect(
        worst <= 2e-5 * max(1e-3, size) && a[index].allSatisfy(\.isFinite),
        "\(what), parameter \(index): off by \(worst) of \(size)")
    }
  }

  private func isShared(_ net: Net) -> [Bool] {
    net.parameterTable.unique.map { entry in
      net.taskGradients?.shared.contains { $0.parameter === entry.parameter } ?? false
    }
  }

  // MARK: Tests

  /// Of one pass, and of two that are added up.
  @Test(arguments: cases, [1, 2]) func eachTasksGradientIsThatOfItsLossesAlone(_ test: Case, _ passes: Int) throws {
    let plain = try makeNet(test, nil)
    let net = try makeNet(test, .taskByTask, accumulates: passes > 1)
    let count = test.net.losses.count
    func expected(factors: [Float]) throws -> [[Float]] {
      try self.expected(plain, test, factors: factors).map { $0.map { $0 * Float(passes) } }
    }
    let shared = isShared(net)
    #expect(shared.contains(true) == (count > 1))
    let all = try expected(factors: [Float](repeating: 1, count: count))
    var own: [[[Float]]] = []
    for task in 0..<count {
      own.append(try gradients(net, ofTask: task, passes: passes))
      let alone = try expected(factors: (0..<count).map { $0 == task ? 1 : 0 })
      let wanted = shared.indices.map { shared[$0] ? alone[$0] : all[$0] }
      expectEqual(own[task], wanted, of: net, "task \(task)")
    }
    try run(net, passes: passes)
    let taskGradients = try #require(net.taskGradients)
    #expect(passes == 1 || taskGradients.areMade)
    let gram = taskGradients.gram()
    for (a, b) in [(0, 0), (0, count - 1), (count / 2, count - 1)] {
      var product = 0.0
      for index in shared.indices where shared[index] {
        for (p, q) in zip(own[a][index], own[b][index]) { product += Double(p) * Double(q) }
      }
      // Factors are multiplied in single precision.
      let tolerance = taskGradients.areMade ? 1e-9 : 1e-6
      #expect(abs(gram[a, b] - product) <= tolerance * max(1e-6, gram.norm(a) * gram.norm(b)))
      #expect(gram[a, b] == gram[b, a])
    }
    // Weighted, they are the gradient of the weighted losses.
    let weights = (0..<count).map { 0.5 + 0.3 * Float($0 % 4) }
    let weighted = try expected(factors: weights)
    taskGradients.combine(weights)
    expectEqual(gradients(net), weighted, of: net, only: shared, "combined")
  }

  /// Of an inner product of fewer records than inputs no gradient is made for each task; of one of shared weights, or of
  /// several passes, they all are.
  @Test func productsStayFactors() throws {
    let net = try makeNet(Case(net: TaskNet.all[1], engine: "cpu"), .taskByTask)
    try run(net, passes: 1)
    let shared = try #require(net.taskGradients).shared
    #expect(net.taskGradients?.areMade == false && shared.count == 2)
    for entry in shared { #expect(entry.tasks.indices.allSatisfy { entry.parameter.isGradientClear($0) }) }
    let towers = try #require(TaskNet.all.first { $0.name.contains("towers") })
    #expect(try makeNet(Case(net: towers, engine: "cpu"), .taskByTask).taskGradients?.areMade == true)
  }

  /// The gradients of a convolution's weights are made once for all tasks, on the engine that gains by it.
  @Test func convolutionsTakeTasksAtOnce() throws {
    let few = try #require(TaskNet.all.first { $0.name.contains("few channels") })
    func steps(_ engine: String) throws -> Int {
      try makeNet(Case(net: few, engine: engine), .taskByTask).backwardSteps.count {
        $0.kind == .backward && $0.name == "c2"
      }
    }
    #expect(try steps("cpu") == 4)
    #expect(try steps("reference") == 3)
  }

  /// Tasks together, and task by task, in turn in one net.
  @Test(arguments: cases) func ordersTakeTurns(_ test: Case) throws {
    let plain = try makeNet(test, nil)
    let net = try makeNet(test, .together, measures: true)
    let count = test.net.losses.count
    let all = try expected(plain, test, factors: [Float](repeating: 1, count: count))
    for turn in 0..<4 {
      try forward(net)
      if turn % 2 == 0 {
        try net.backward()
      } else {
        try net.backwardTaskByTask()
        net.taskGradients?.combine([Float](repeating: 1, count: count))
      }
      expectEqual(gradients(net), all, of: net, "turn \(turn)")
    }
  }

  /// Weights at the representation give the shared layers the gradient of the weighted losses.
  @Test(arguments: cases) func weightsAtTheRepresentation(_ test: Case) throws {
    let plain = try makeNet(test, nil)
    let net = try makeNet(test, .weightedRepresentation)
    let shared = isShared(try makeNet(test, .taskByTask))
    let count = test.net.losses.count
    let representation = try #require(net.representationGradients)
    let all = try expected(plain, test, factors: [Float](repeating: 1, count: count))
    try forward(net)
    try net.backward()
    expectEqual(gradients(net), all, of: net, "weights of 1")
    let weights = (0..<count).map { 0.5 + 0.3 * Float($0 % 4) }
    var seen = GramMatrix(count)
    representation.weigh = { gram in
      seen = gram
      return weights
    }
    try forward(net)
    try net.backward()
    let weighted = try expected(plain, test, factors: weights)
    // Weights that heads share are theirs, not of what they read.
    let areHeads = test.net.name.hasPrefix("heads that share")
    let mixed = shared.indices.map { shared[$0] && !areHeads ? weighted[$0] : all[$0] }
    expectEqual(gradients(net), mixed, of: net, "weighted")
    #expect(seen.isFinite)
    if count > 1, !areHeads { for task in 0..<count { #expect(seen.norm(task) > 0, "task \(task)") } }
  }

  /// Differences of each task's loss alone, in parameters drawn at random. Nets with a rectifier that a step crosses are
  /// compared with the backward of one task alone only, by the tests above.
  @Test(
    arguments: cases.filter { test in
      test.engine == "reference" && !["place", "several depths"].contains { test.net.name.contains($0) }
    })
  func differencesOfEachLoss(_ test: Case) throws {
    let net = try makeNet(test, .taskByTask)
    let count = test.net.losses.count
    let tasks = count > 4 ? [0, 17, count - 1] : Array(0..<count)
    let own = try tasks.map { try gradients(net, ofTask: $0) }
    let shared = isShared(net)
    func losses() throws -> [Double] {
      try forward(net)
      return tasks.map { task in
        net.losses.filter { test.net.losses[task].contains($0.term.name) }.reduce(0) { sum, loss in
          (0..<loss.blob.count).reduce(sum) { $0 + Double(loss.term.weight) * Double(loss.blob.values[$1]) }
        }
      }
    }
    let stream = RandomStream(seed: 11)
    for (index, entry) in net.parameterTable.unique.enumerated() where shared[index] {
      for draw in 0..<3 {
        let place = stream.integer(10 * index + draw, below: entry.parameter.count)
        let value = entry.parameter.values[place]
        let step: Float = 5e-3
        entry.parameter.values[place] = value + step
        entry.parameter.touch()
        let above = try losses()
        entry.parameter.values[place] = value - step
        entry.parameter.touch()
        let below = try losses()
        entry.parameter.values[place] = value
        entry.parameter.touch()
        for task in tasks.indices {
          let numeric = (above[task] - below[task]) / Double(2 * step)
          let analytic = Double(own[task][index][place])
          #expect(
            abs(numeric - analytic) <= 2e-3 * max(0.3, abs(analytic)), "\(entry.layerName): \(numeric), \(analytic)")
        }
      }
    }
  }

  /// One gradient of every shared parameter for each of its tasks, and no copy.
  @Test func noTwoRegionsOverlapWhileBothAreInUse() throws {
    for test in Self.cases where test.engine == "reference" {
      for order in [BackwardOrder.taskByTask, .weightedRepresentation, .together] {
        let entries = try makeNet(test, order, measures: order == .together).memoryPlan.entries
        for (index, a) in entries.enumerated() {
          for b in entries[..<index] where a.steps.overlaps(b.steps) {
            #expect(a.offset + a.region.byteCount <= b.offset || b.offset + b.region.byteCount <= a.offset)
          }
        }
      }
    }
  }

  /// Heads run once, shared layers once for each task.
  @Test func stepsOfHeadsRunOnce() throws {
    let net = try makeNet(Case(net: TaskNet.all[1], engine: "reference"), .taskByTask)
    func count(_ name: String) -> Int { net.backwardSteps.count { $0.kind == .backward && $0.name == name } }
    #expect(count("h") == 40)
    #expect(count("score_t7") == 1 && count("loss_t7") == 1)
  }
}
