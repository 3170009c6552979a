import ArgumentParser

/// `mtl plot`: losses and metrics of runs over their iterations.
struct PlotCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plot",
    _superCommandName: "mtl",
    abstract: "Draws the losses and metrics of runs over their iterations.",
    discussion: """
      A run is a file PREFIX_metrics.jsonl, the prefix alone, or a log with Caffe's lines. Each loss and metric has a \
      panel; several runs are drawn over one another. Files that 'mtl test --plots' wrote, such as roc.tsv, are drawn \
      into one picture.
      """
  )

  @Argument(help: ArgumentHelp("The runs.", valueName: "run"), completion: .file())
  var runs: [String]

  @Option(name: .shortAndLong, help: ArgumentHelp("The picture, .svg or .png.", valueName: "file"), completion: .file())
  var output: String

  @Option(help: ArgumentHelp("Draw these losses and metrics alone, with commas.", valueName: "names"))
  var only: String?

  func run() throws {
    if runs.allSatisfy(CurveFile.isOne) {
      let curves = try zip(CurveFile.names(of: runs), runs).map { (name: $0, curve: try CurveFile.read($1)) }
      return try MetricPlot(curves: curves).write(to: output)
    }
    guard let only else { return try CurvePlot(runs: try runs.map(RunCurves.init)).write(to: output) }
    let (found, notes) = try RunCurves.read(runs, only: only.split(separator: ",").map(String.init))
    for note in notes { printError(note) }
    try CurvePlot(runs: found).write(to: output)
  }
}
