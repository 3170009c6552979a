import ArgumentParser
import CaffeSchema
import Logging
import Nets
import Solvers

/// `mtl time`: how long each layer of a net takes.
struct TimeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "time",
    _superCommandName: "mtl",
    abstract: "Times a net layer by layer.",
    discussion: """
      Standard error gets the lines of 'caffe time'. Standard output gets a table: for each layer the median and the \
      shortest time of forward and backward in ms, its share, the time that the machine's matrix product (or, for what \
      only moves data, a copy) would need, and the rates. What is done between layers has lines of its own: reorders, \
      sums of gradients. In the TRAIN phase the weights count as changed before each pass, as they are in training.
      """
  )

  @Option(help: ArgumentHelp("The net.", valueName: "prototxt"), completion: .file(extensions: ["prototxt"]))
  var model: String

  @Option(help: ArgumentHelp("Passes to time.", valueName: "count"))
  var iterations = 50

  @Option(help: "TRAIN: forward and backward. TEST: forward.")
  var phase = PhaseArgument.train

  @Option(help: ArgumentHelp("Accepted for old scripts and ignored.", visibility: .hidden))
  var gpu: String?

  @OptionGroup var stateOptions: StateOptions
  @OptionGroup var engineOptions: EngineOptions

  func validate() throws {
    if iterations < 1 { throw ValidationError("--iterations must be at least 1.") }
  }

  func run() throws {
    engineOptions.prepareProcess()
    let log = TimingLog(Logger(label: "mtl", factory: { _ in GlogHandler() }))
    let start = monotonicSeconds()
    let engine = try engineOptions.makeEngine()
    let source = try NetSource.read(path: model)
    var options = NetOptions(phase: phase.phase)
    options.state = stateOptions.netState(phase.phase, of: source)
    let net = try Net(source, engine: engine, catalogue: EngineOptions.catalogue, options: options)
    let built = monotonicSeconds() - start
    let timer = NetTimer(net: net)
    log.performingForward()
    log.performingBackward(initialLoss: try timer.warmUp())
    log.begins(iterations: iterations)
    let times = try timer.measure(passes: iterations) { log.iteration($0, seconds: $1) }
    // Before the rates are measured, which takes memory of its own.
    let peak = peakMebibytes()
    let rows = TimedRow.rows(of: net, times)
    log.ends(rows, times)
    let table = TimeTable(rows: rows, times: times, rates: MachineRates(of: engine))
    print(table.layers, "", table.totals, "", separator: "\n")
    let threads = "\(engine.threadCount) thread\(engine.threadCount == 1 ? "" : "s")"
    print(
      "engine \(engine.name), \(threads): matrix product \(fixedText(1e-9 * table.rates.product, decimals: 0)) GFLOP/s,"
        + " copy \(fixedText(1e-9 * table.rates.copy, decimals: 1)) GB/s")
    print("built in \(fixedText(built, decimals: 3)) s, peak memory \(peak) MiB")
  }
}

/// A phase as Caffe's tools take it.
enum PhaseArgument: String, ExpressibleByArgument, CaseIterable {
  case train = "TRAIN"
  case test = "TEST"

  var phase: Phase { self == .train ? .train : .test }
}
