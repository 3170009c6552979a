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
      A step is forward, backward and, task by task, the inner products of the gradients and their weighted sum; layers \
      that make the inputs are left out. Its time is the sum of the medians of its parts, each layer's forward and backward, \
      so that what stops a single one of them counts for little. The cost is told in backward passes of the shared layers, \
      with the reorders between them: 1 is a step of all tasks together.
      """,
    shouldDisplay: false
  )

  @Argument(help: ArgumentHelp("Nets that need no data.", valueName: "prototxt"))
  var models: [String]

  @Option(help: ArgumentHelp("Steps of each kind, in alternation.", valueName: "count"))
  var iterations = 20

  @Flag(help: "Prints the times of the steps, too; those of one name, as the passes of tasks have, in one line.")
  var steps = false

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
    print("\ntimes in ms, sums of medians of \(iterations); costs in backward passes of the shared layers")
  }

  private func row(_ source: NetSource) throws -> [String] {
    let engine = try engineOptions.makeEngine()
    let byTask = try TimedSteps(source, .taskByTask, engine)
    let together = try TimedSteps(source, nil, engine, repeated: byTask.repeated)
    let represented = try TimedSteps(source, .weightedRepresentation, engine)
    for _ in 0..<NetTimer.warmUp + iterations {
      for steps in [together, byTask, represented] { try steps.run() }
    }
    func milliseconds(_ part: (TimedSteps.Part) -> Bool, of steps: TimedSteps) -> Double {
      let parts = steps.parts.filter(part)
      return parts.reduce(0) { $0 + 1000 * median(Array($1.seconds.dropFirst(NetTimer.warmUp))) }
    }
    let step = milliseconds({ _ in true }, of: together)
    let shared = milliseconds(\.isShared, of: together)
    func cost(_ other: TimedSteps) -> String {
      fixedText(1 + (milliseconds({ _ in true }, of: other) - step) / shared, decimals: 2)
    }
    if steps { printSteps(together, byTask) }
    let tasks = TaskTable(together.net).learned.count
    let weights = byTask.net.taskGradients?.shared.reduce(0) { $0 + $1.parameter.count } ?? 0
    func text(_ value: Double) -> String { fixedText(value, decimals: 2) }
    return [
      source.parameter.name, String(tasks), String(weights), text(step), text(shared),
      text(milliseconds({ _ in true }, of: byTask)), text(milliseconds(\.combines, of: byTask)), cost(byTask),
      text(1 + 0.8 * Double(tasks)), text(milliseconds({ _ in true }, of: represented)), cost(represented),
    ]
  }
}

extension BenchTasksCommand {
  /// The sums of the medians of the steps that bear a name.
  private func printSteps(_ together: TimedSteps, _ byTask: TimedSteps) {
    func sums(_ steps: TimedSteps) -> [String: Double] {
      steps.parts.reduce(into: [:]) { sums, part in
        sums[part.name, default: 0] += 1000 * median(Array(part.seconds.dropFirst(NetTimer.warmUp)))
      }
    }
    let (once, often) = (sums(together), sums(byTask))
    var table = TextTable([("step", false), ("together", true), ("task by task", true)])
    for name in Set(once.keys).union(often.keys).sorted() {
      table.add([name] + [once[name], often[name]].map { $0.map { fixedText($0, decimals: 3) } ?? "-" })
    }
    print(table.text)
  }
}

/// A net with the times of its steps.
private final class TimedSteps {
  /// A step of the net, or the work on the tasks' gradients behind all of them.
  struct Part {
    let name: String
    /// Whether it is a backward step of shared layers.
    var isShared = false
    var combines = false
    var seconds: [Double] = []
  }

  let net: Net
  /// In their order, without the steps that make the inputs.
  private(set) var parts: [Part]
  private let steps: [Step]
  /// Per step: its place among `parts`; nil for one that makes inputs.
  private let places: [Int?]

  /// - Parameter repeated: steps that count as shared besides those of shared layers.
  init(_ source: NetSource, _ order: BackwardOrder?, _ engine: any Engine, repeated: Set<String> = []) throws {
    var options = NetOptions(phase: .train)
    options.tasks = order.map { order in
      TaskOptions(order: order) { TaskTable($0, named: []).learned.map(\.losses) }
    }
    net = try Net(source, engine: engine, catalogue: EngineOptions.catalogue, options: options)
    let ofLayer = net.graph.tasksBehind(TaskTable(net).learned.map(\.losses)).map { $0.count > 1 }
    var parts: [Part] = []
    places =
      net.forwardSteps.map { step in
        guard !step.bottoms.isEmpty else { return nil }
        parts.append(Part(name: step.key))
        return parts.count - 1
      }
      + net.backwardSteps.map { step in
        parts.append(
          Part(name: step.key, isShared: step.layer.map { ofLayer[$0] } ?? repeated.contains(step.key)))
        return parts.count - 1
      }
    if net.taskGradients != nil { parts.append(Part(name: "gradients of tasks", combines: true)) }
    self.parts = parts
    steps = net.forwardSteps + net.backwardSteps
  }

  /// The steps between layers that run more than once: reorders of what tasks share.
  var repeated: Set<String> {
    let counts = net.backwardSteps.filter { $0.layer == nil }.reduce(into: [:]) { $0[$1.key, default: 0] += 1 }
    return Set(counts.filter { $0.value > 1 }.keys)
  }

  func run() throws {
    net.clearGradients()
    for entry in net.parameterTable.unique where entry.parameter.isLearned { entry.parameter.touch() }
    var last = monotonicSeconds()
    func took(_ place: Int?) {
      let now = monotonicSeconds()
      if let place { parts[place].seconds.append(now - last) }
      last = now
    }
    for (step, place) in zip(steps, places) {
      try step.run()
      took(place)
    }
    net.clock.pass += 1
    if let gradients = net.taskGradients {
      _ = gradients.gram()
      gradients.combine([Float](repeating: 0.5, count: gradients.taskCount))
      took(parts.count - 1)
    }
  }
}

extension Step {
  fileprivate var key: String { "\(kind.rawValue) \(name)" }
}
