import Diagnostics
import Foundation
import Solvers
import Tasks

/// What an experiment found, made from the runs that are done.
///
/// Of each run the test counts at which the validation part was best: of a task alone by its own metric, of a whole net
/// by delta_m. delta_m is the mean over the tasks of how much better, as a share, the metric is than that of the same
/// seed's net of that task alone (Vandenhende et al., Multi-task learning for dense prediction tasks: a survey, 2021);
/// above 0 the tasks help each other. The choice looks at the validation part alone, the numbers told are those of the
/// reported one.
struct ExperimentResults: Codable, Equatable {
  /// The same subject with all seeds.
  struct Row: Codable, Equatable {
    var setting: String
    var name: String
    /// By task; of 'alone' each from its own net.
    var metrics: [Estimate?]
    /// Of the reported and of the validation part; nil for 'alone'.
    var deltaM: Estimate?
    var validationDeltaM: Estimate?
    /// Of a run; of 'alone' of the nets of all tasks together.
    var seconds: Double?
    /// Whether its validation delta_m is the highest of its setting.
    var isBest = false
    var seeds: [SeedResult]
    /// Seeds whose run failed or has no tests to compare.
    var failures: [String]
  }

  struct SeedResult: Codable, Equatable {
    var seed: Int64
    /// The iteration that counts; of 'alone' for each task.
    var iterations: [Int]
    var metrics: [Double]
    var deltaM: Double?
    var validationDeltaM: Double?
  }

  struct Measure: Codable, Equatable {
    var task: String
    var metric: String
    var lowerIsBetter: Bool
  }

  static let alone = "each task alone"

  var experiment: String
  var tasks: [Measure]
  var rows: [Row]

  /// - Precondition: every run of `experiment` is done.
  init(_ experiment: Experiment) throws {
    self.experiment = experiment.name
    tasks = experiment.tasks.map { Measure(task: $0.task, metric: $0.output, lowerIsBetter: $0.lowerIsBetter) }
    rows = []
    for setting in experiment.settings.indices {
      let alone = try Baselines(experiment, setting: setting)
      rows.append(alone.row)
      var variants = try experiment.variants.indices.map { try ExperimentResults.row($0, experiment, setting, alone) }
      let best = variants.indices.max {
        (variants[$0].validationDeltaM?.mean ?? -.infinity)
          < (variants[$1].validationDeltaM?.mean ?? -.infinity)
      }
      if let best, variants[best].validationDeltaM != nil { variants[best].isBest = true }
      rows += variants
    }
  }

  private static func row(
    _ variant: Int, _ experiment: Experiment, _ setting: Int, _ alone: Baselines
  ) throws -> Row {
    var row = Row(
      setting: experiment.settings[setting], name: experiment.variants[variant], metrics: [], seeds: [], failures: [])
    var seconds: [Double] = []
    for run in experiment.runs where run.setting == setting && run.subject == .variant(variant) {
      let finish = run.finish
      if let failure = finish?.failure { row.failures.append("seed \(run.seed): \(failure)") }
      guard finish?.failure == nil, let baseline = alone.bySeed[run.seed] else { continue }
      let tests = try TestScores(
        path: run.metricsPath, tasks: experiment.tasks, validation: experiment.validationNet,
        report: experiment.reportNet
      ).tests
      func delta(_ values: [Double], _ others: [Double]) -> Double {
        let gains = zip(experiment.tasks, zip(values, others)).map { $0.gain(of: $1.0, over: $1.1) }
        return gains.reduce(0, +) / Double(gains.count)
      }
      let scored = tests.map { (test: $0, delta: delta($0.validation, baseline.map(\.validation[0]))) }
      // Of equal ones the first.
      guard let best = scored.reversed().max(by: { $0.delta < $1.delta }) else {
        row.failures.append("seed \(run.seed): no test has values of all tasks")
        continue
      }
      row.seeds.append(
        SeedResult(
          seed: run.seed, iterations: [best.test.iteration], metrics: best.test.report,
          deltaM: delta(best.test.report, baseline.map(\.report[0])), validationDeltaM: best.delta))
      if let time = finish?.seconds { seconds.append(time) }
    }
    row.metrics = experiment.tasks.indices.map { task in Estimate(row.seeds.map { $0.metrics[task] }) }
    row.deltaM = Estimate(row.seeds.compactMap(\.deltaM))
    row.validationDeltaM = Estimate(row.seeds.compactMap(\.validationDeltaM))
    row.seconds = Estimate(seconds)?.mean
    return row
  }
}

/// The nets of single tasks, which all else is compared with.
private struct Baselines {
  /// For each task its best test; of seeds of which every task has one.
  private(set) var bySeed: [Int64: [TestScores.Test]] = [:]
  let row: ExperimentResults.Row

  init(_ experiment: Experiment, setting: Int) throws {
    var row = ExperimentResults.Row(
      setting: experiment.settings[setting], name: ExperimentResults.alone, metrics: [], seeds: [], failures: [])
    var seconds = [Double](repeating: 0, count: experiment.seeds.count)
    for (index, seed) in experiment.seeds.enumerated() {
      var best: [TestScores.Test] = []
      for (number, task) in experiment.tasks.enumerated() {
        for run in experiment.runs
        where run.setting == setting && run.seed == seed && run.subject == .alone(number) {
          let finish = run.finish
          if let failure = finish?.failure { row.failures.append("\(task.task), seed \(seed): \(failure)") }
          seconds[index] += finish?.seconds ?? 0
          let tests = try TestScores(
            path: run.metricsPath, tasks: [task], validation: experiment.validationNet, report: experiment.reportNet
          ).tests
          let first = tests.reversed().max { task.gain(of: $0.validation[0], over: $1.validation[0]) < 0 }
          if finish?.failure == nil, let first { best.append(first) }
        }
      }
      guard best.count == experiment.tasks.count else { continue }
      bySeed[seed] = best
      row.seeds.append(
        .init(seed: seed, iterations: best.map(\.iteration), metrics: best.map { $0.report[0] }))
    }
    row.metrics = experiment.tasks.indices.map { task in Estimate(row.seeds.map { $0.metrics[task] }) }
    row.seconds = Estimate(seconds)?.mean
    self.row = row
  }
}

// MARK: Tables

extension ExperimentResults {
  private var heads: [String] { ["training"] + tasks.map(\.task) + ["delta_m", "on validation", "time"] }

  private func cells(_ row: Row) -> [String] {
    let isAlone = row.validationDeltaM == nil && row.deltaM == nil && row.name == ExperimentResults.alone
    func share(_ estimate: Estimate?) -> String {
      guard estimate != nil else { return isAlone ? "0 %" : "-" }
      return ExperimentResults.text(estimate, decimals: 2, factor: 100, sign: true) + " %"
    }
    var cells = [row.name + (row.isBest ? " *" : "")]
    for metric in row.metrics { cells.append(ExperimentResults.text(metric, decimals: 4, factor: 1)) }
    cells += [share(row.deltaM), share(row.validationDeltaM)]
    cells.append(row.seconds.map { fixedText($0, decimals: 1) + " s" } ?? "-")
    return cells
  }

  private static func text(_ estimate: Estimate?, decimals: Int, factor: Double, sign: Bool = false) -> String {
    guard let estimate else { return "-" }
    let mean = fixedText(estimate.mean * factor, decimals: decimals)
    let margin = estimate.margin.map { " ±" + fixedText($0 * factor, decimals: decimals) } ?? ""
    return (sign && estimate.mean >= 0 ? "+" : "") + mean + margin
  }

  /// Tables of the settings, one after the other, each with its name.
  private func tables(_ table: ([Row]) -> String) -> String {
    var settings: [String] = []
    for row in rows where !settings.contains(row.setting) { settings.append(row.setting) }
    return settings.map { setting in
      (setting.isEmpty ? "" : setting + "\n\n") + table(rows.filter { $0.setting == setting })
    }.joined(separator: "\n\n")
  }

  private var notes: [String] {
    let seeds = rows.first?.seeds.map { String($0.seed) }.joined(separator: ", ") ?? ""
    let metrics = tasks.map { "\($0.metric)\($0.lowerIsBetter ? " (lower is better)" : "")" }
    let failures = rows.flatMap { row in row.failures.map { "failed: \(row.name), \($0)" } }
    return [
      "mean and 95 % interval over seeds \(seeds); metrics: \(metrics.joined(separator: ", "))",
      "delta_m: mean over tasks of the relative gain over the net of that task alone, same seed",
      "* best on the validation part", "time: of one run; of tasks alone, of the nets of all tasks together",
    ] + failures
  }

  var text: String {
    let columns = heads.enumerated().map { (head: $1, isNumber: $0 > 0) }
    let all = tables { rows in
      var table = TextTable(columns)
      for row in rows { table.add(cells(row)) }
      return table.text
    }
    return all + "\n\n" + notes.joined(separator: "\n")
  }

  var markdown: String {
    func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |" }
    let rule = "|---|" + String(repeating: "---:|", count: heads.count - 1)
    let all = tables { rows in
      let lines = [line(heads), rule] + rows.map { line(cells($0)) }
      return lines.joined(separator: "\n")
    }
    // A star at the start would begin a list.
    let below = notes.map { $0.hasPrefix("*") ? "\\" + $0 : $0 }
    return all + "\n\n" + below.joined(separator: "  \n")
  }

  /// Sorted fields, indented.
  func json() throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    return try encoder.encode(self) + Data("\n".utf8)
  }
}
