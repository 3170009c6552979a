import ArgumentParser
import Compute
import ComputeCases
import Solvers
import Tasks

/// `mtl bench-ops`: the speed of single operations; `tools/bench ops` runs it.
struct BenchOpsCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench-ops",
    _superCommandName: "mtl",
    abstract: "Times single operations at the sizes of well-known nets.",
    discussion: "A line for each operation and direction. Weights are packed before the times are taken.",
    shouldDisplay: false
  )

  @Option(help: ArgumentHelp("Only operations with this in their names.", valueName: "text"))
  var only: String?

  @OptionGroup var engineOptions: EngineOptions

  func run() throws {
    engineOptions.prepareProcess()
    let engine = try engineOptions.makeEngine()
    let rates = MachineRates(of: engine)
    var table = TextTable([
      ("operation", false), ("bottom", false), ("kernel", false), ("pass", false), ("median", true), ("min", true),
      ("GFLOP/s", true), ("of sgemm", true), ("GB/s", true),
    ])
    for opCase in OpCase.large where only.map({ opCase.name.contains($0) }) ?? true {
      let inputs = opCase.inputs()
      for offer in opCase.takesAnyLayout ? OpRun.Offer.allCases : [.plain] {
        let run = try OpRun(opCase, on: engine, offer: offer)
        run.load(inputs)
        for pass in run.passes {
          let seconds = measure(run, pass)
          table.add(
            [opCase.name, opCase.takesAnyLayout ? offer.rawValue : "-", run.implementation, pass.rawValue]
              + cells(opCase, seconds, rates))
        }
      }
    }
    print(table.text)
    print(
      "\nengine \(engine.name), \(engine.threadCount) threads; times in ms; matrix product "
        + "\(fixedText(1e-9 * rates.product, decimals: 0)) GFLOP/s, copy \(fixedText(1e-9 * rates.copy, decimals: 1)) GB/s"
    )
  }

  /// Seconds of runs that take 0.2 s together, at least three, after one that does not count.
  private func measure(_ run: OpRun, _ pass: OpRun.Pass) -> [Double] {
    run.run(pass)
    var seconds: [Double] = []
    let start = monotonicSeconds()
    while seconds.count < 3 || monotonicSeconds() - start < 0.2 {
      let before = monotonicSeconds()
      run.run(pass)
      seconds.append(monotonicSeconds() - before)
    }
    return seconds
  }

  private func cells(_ opCase: OpCase, _ seconds: [Double], _ rates: MachineRates) -> [String] {
    let middle = median(seconds)
    let rate = 2 * Double(opCase.multiplyAdds) / middle
    let isProduct = opCase.multiplyAdds > 0
    return [
      fixedText(1000 * middle, decimals: 3), fixedText(1000 * (seconds.min() ?? 0), decimals: 3),
      isProduct ? fixedText(1e-9 * rate, decimals: 0) : "-",
      isProduct ? "\(fixedText(100 * rate / rates.product, decimals: 0)) %" : "-",
      isProduct ? "-" : fixedText(1e-9 * Double(opCase.byteCount) / middle, decimals: 1),
    ]
  }
}

extension OpCase {
  /// Whether the op works in the layout that it is offered.
  fileprivate var takesAnyLayout: Bool {
    switch kind {
    case .pooling, .rectifier, .localResponse, .batchNorm, .sum, .concat: bottomShapes[0].rank == 4
    case .convolution, .deconvolution, .innerProduct, .softmax, .product: false
    }
  }
}
