import ArgumentParser
import CaffeSchema
import Compute
import Nets
import Solvers
import Tasks

/// `mtl bench-tasks`: what it costs to know the gradients of each task; `tools/bench tasks` runs it.
struct BenchTasksCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench-tasks",
    _superCommandName: "mtl",
    abstract: "Times steps of nets whose tasks' gradients are told apart.",
    discussion: """
      A step is forward, backward and, task by task, the inner products of the gradients and their weighted sum. The cost \
      is told in backward passes of the shared layers, with the reorders between them: 1 is a step of all tasks together.
      """,
    shouldDisplay: false
  )

  @Argument(help: ArgumentHelp("Nets that need no data.", valueName: "prototxt"))
  var models: [String]

  @Option(help: ArgumentHelp("Steps of each kind, in alternation.", valueName: "count"))
  var iterations = 20

  @OptionGroup var engineOptions: EngineOptions

  func run() throws {
    engineOptions.prepareProcess()
    var table = TextTable([
      ("net", false), ("tasks", true), ("shared weights", true), ("together", true), ("its shared backward", true),
      ("task by task", true), ("of it inner products", true), ("cost", true), ("1 + 0.8 K", true),
      ("at representation", true), ("cost", true),
    ])
    for path in models { table.add(try row(NetSource.read(path: path))) }
    print(table.text)
    print("\ntimes in ms, medians of \(iterations); costs in backward passes of the shared layers")
  }

  private func row(_ source: NetSource) throws -> [String] {
    let engine = try engineOptions.makeEngine()
    let byTask = try TimedSteps(source, .taskByTask, engine)
    let together = try TimedSteps(source, nil, engine, repeated: byTask.repeated)
    let represented = try TimedSteps(source, .weightedRepresentation, engine)
    for _ in 0..<NetTimer.warmUp + iterations {
      for steps in [together, byTask, represented] { try steps.run() }
    }
    func milliseconds(_ seconds: [Double]) -> Double { 1000 * median(Array(seconds.dropFirst(NetTimer.warmUp))) }
    let step = milliseconds(together.seconds)
    let shared = milliseconds(together.sharedSeconds)
    func cost(_ other: TimedSteps) -> String {
      fixedText(1 + (milliseconds(other.seconds) - step) / shared, decimals: 2)
    }
    let tasks = TaskTable(together.net).learned.count
    let weights = byTask.net.taskGradients?.shared.reduce(0) { $0 + $1.parameter.count } ?? 0
    func text(_ value: Double) -> String { fixedText(value, decimals: 2) }
    return [
      source.parameter.name, String(tasks), String(weights), text(step), text(shared),
      text(milliseconds(byTask.seconds)), text(milliseconds(byTask.combineSeconds)), cost(byTask),
      text(1 + 0.8 * Double(tasks)), text(milliseconds(represented.seconds)), cost(represented),
    ]
  }
}

/// A net with the times of its steps.
private final class TimedSteps {
  let net: Net
  private var isShared: [Bool] = []
  private(set) var seconds: [Double] = []
  /// Of the backward steps of shared layers.
  private(set) var sharedSeconds: [Double] = []
  private(set) var combineSeconds: [Double] = []

  /// - Parameter repeated: steps that count as shared besides those of shared layers.
  init(_ source: NetSource, _ order: BackwardOrder?, _ engine: any Engine, repeated: Set<String> = []) throws {
    var options = NetOptions(phase: .train)
    options.tasks = order.map { order in
      TaskOptions(order: order) { TaskTable($0, named: []).learned.map(\.losses) }
    }
    net = try Net(source, engine: engine, catalogue: EngineOptions.catalogue, options: options)
    let ofLayer = net.graph.tasksBehind(TaskTable(net).learned.map(\.losses)).map { $0.count > 1 }
    isShared = net.backwardSteps.map { step in step.layer.map { ofLayer[$0] } ?? repeated.contains(step.key) }
  }

  /// The steps between layers that run more than once: reorders of what tasks share.
  var repeated: Set<String> {
    let counts = net.backwardSteps.filter { $0.layer == nil }.reduce(into: [:]) { $0[$1.key, default: 0] += 1 }
    return Set(counts.filter { $0.value > 1 }.keys)
  }

  func run() throws {
    net.clearGradients()
    for entry in net.parameterTable.unique where entry.parameter.isLearned { entry.parameter.touch() }
    let start = monotonicSeconds()
    try net.forward()
    var shared = 0.0
    var last = monotonicSeconds()
    for (index, step) in net.backwardSteps.enumerated() {
      try step.run()
      let now = monotonicSeconds()
      if isShared[index] { shared += now - last }
      last = now
    }
    if let gradients = net.taskGradients {
      _ = gradients.gram()
      gradients.combine([Float](repeating: 0.5, count: gradients.taskCount))
    }
    let end = monotonicSeconds()
    seconds.append(end - start)
    sharedSeconds.append(shared)
    combineSeconds.append(end - last)
  }
}

extension Step {
  fileprivate var key: String { "\(kind.rawValue) \(name)" }
}
