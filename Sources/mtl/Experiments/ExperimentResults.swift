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
///
/// A gain from 0.96 to 0.97 is 1 % of an accuracy and 25 % of an error rate, so where there are accuracies delta_m is told
/// of the error rates too. It chooses nothing.
struct ExperimentResults: Codable, Equatable {
  /// The same subject with all seeds.
  struct Row: Codable, Equatable {
    var setting: String
    var name: String
    /// By task; of 'alone' each from its own net.
    var metrics: [Estimate?] = []
    /// Of the reported and of the validation part; nil for 'alone'.
    var deltaM: Estimate?
    var validationDeltaM: Estimate?
    /// Of the reported part, with 1 - accuracy in the place of accuracies; nil where there is no accuracy.
    var errorDeltaM: Estimate?
    /// Of a run; of 'alone' of the nets of all tasks together.
    var seconds: Double?
    /// Whether its validation delta_m is the highest of its setting.
    var isBest = false
    /// Of 'each task alone', by task: how its net was trained, where there are several ways.
    var ways: [String] = []
    var seeds: [SeedResult] = []
    /// Seeds whose run failed or has no tests to compare.
    var failures: [String] = []

    /// Adds what a seed gave, in the order of seeds.
    mutating func add(
      _ seed: Int64, _ tests: [TestScores.Test], values: TaskValues, over others: TaskValues?, _ tasks: [TaskMetric]
    ) {
      var result = SeedResult(seed: seed, iterations: tests.map(\.iteration), metrics: values.report)
      if let others {
        result.deltaM = tasks.delta(values.report, others.report)
        result.validationDeltaM = tasks.delta(values.validation, others.validation)
        result.errorDeltaM = tasks.errorDelta(values.report, others.report)
      }
      seeds.append(result)
    }

    /// Makes the estimates from the seeds.
    mutating func estimate(_ taskCount: Int) {
      metrics = (0..<taskCount).map { task in Estimate(seeds.map { $0.metrics[task] }) }
      deltaM = Estimate(seeds.compactMap(\.deltaM))
      validationDeltaM = Estimate(seeds.compactMap(\.validationDeltaM))
      errorDeltaM = Estimate(seeds.compactMap(\.errorDeltaM))
    }
  }

  struct SeedResult: Codable, Equatable {
    var seed: Int64
    /// The iteration that counts; of 'alone' for each task.
    var iterations: [Int]
    var metrics: [Double]
    var deltaM: Double?
    var validationDeltaM: Double?
    var errorDeltaM: Double?
  }

  /// By task.
  struct TaskValues {
    var validation: [Double]
    var report: [Double]
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
      rows += alone.rows
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
    let tasks = experiment.tasks
    var row = Row(setting: experiment.settings[setting], name: experiment.variants[variant])
    var seconds: [Double] = []
    for run in experiment.runs where run.setting == setting && run.subject == .variant(variant) {
      let finish = run.finish
      if let failure = finish?.failure { row.failures.append("seed \(run.seed): \(failure)") }
      guard finish?.failure == nil, let baseline = alone.bySeed[run.seed] else { continue }
      let tests = try TestScores(
        path: run.metricsPath, tasks: tasks, validation: experiment.validationNet, report: experiment.reportNet
      ).tests
      let scored = tests.map { (test: $0, delta: tasks.delta($0.validation, baseline.validation)) }
      // Of equal ones the last.
      guard let best = scored.reversed().max(by: { $0.delta < $1.delta })?.test else {
        row.failures.append("seed \(run.seed): no test has values of all tasks")
        continue
      }
      row.add(
        run.seed, [best], values: .init(validation: best.validation, report: best.report), over: baseline, tasks)
      if let time = finish?.seconds { seconds.append(time) }
    }
    row.estimate(tasks.count)
    row.seconds = Estimate(seconds)?.mean
    return row
  }
}

extension TaskMetric {
  /// How much better `value` is than `other`, as a share of it.
  func gain(of value: Double, over other: Double) -> Double {
    let gain = (value - other) / (other == 0 ? .leastNonzeroMagnitude : abs(other))
    return lowerIsBetter ? -gain : gain
  }

  /// Whether 1 minus it is an error rate.
  var isAccuracy: Bool { !lowerIsBetter && layerType.contains("Accuracy") }

  /// As `gain`, of an accuracy's error rate; nil over a net without errors, unless this one has none either.
  func errorGain(of value: Double, over other: Double) -> Double? {
    guard isAccuracy else { return gain(of: value, over: other) }
    if other >= 1 { return value >= 1 ? 0 : nil }
    return (value - other) / (1 - other)
  }
}

extension [TaskMetric] {
  /// The mean over the tasks of their gains.
  fileprivate func delta(_ values: [Double], _ others: [Double]) -> Double {
    indices.reduce(0) { $0 + self[$1].gain(of: values[$1], over: others[$1]) } / Double(count)
  }

  /// The same of error rates; nil without an accuracy.
  fileprivate func errorDelta(_ values: [Double], _ others: [Double]) -> Double? {
    let gains = indices.compactMap { self[$0].errorGain(of: values[$0], over: others[$0]) }
    guard contains(where: \.isAccuracy), gains.count == count else { return nil }
    return gains.reduce(0, +) / Double(count)
  }
}

/// The nets of single tasks, which all else is compared with: of each task those of the way to train it that is best on
/// the validation part, by the mean over the seeds.
private struct Baselines {
  /// One task's nets, trained in one way: by seed the best test, and how long training took.
  private struct Nets {
    var best: [Int64: TestScores.Test] = [:]
    var seconds: [Int64: Double] = [:]
    var failures: [String] = []

    init(_ experiment: Experiment, _ setting: Int, task number: Int, way: Int) throws {
      let task = experiment.tasks[number]
      for run in experiment.runs where run.setting == setting && run.subject == .alone(number, way: way) {
        let finish = run.finish
        seconds[run.seed] = finish?.seconds
        if let failure = finish?.failure {
          failures.append("\(task.task), seed \(run.seed): \(failure)")
          continue
        }
        let tests = try TestScores(
          path: run.metricsPath, tasks: [task], validation: experiment.validationNet, report: experiment.reportNet
        ).tests
        best[run.seed] = tests.reversed().max { task.gain(of: $0.validation[0], over: $1.validation[0]) < 0 }
      }
    }

    func isBetter(than other: Nets, _ task: TaskMetric) -> Bool {
      guard best.count == other.best.count else { return best.count > other.best.count }
      func mean(_ nets: Nets) -> Double? { Estimate(nets.best.values.map { $0.validation[0] }.sorted())?.mean }
      guard let own = mean(self), let others = mean(other) else { return false }
      return task.gain(of: own, over: others) > 0
    }
  }

  /// Of seeds of which every task has a net.
  private(set) var bySeed: [Int64: ExperimentResults.TaskValues] = [:]
  /// The chosen nets, then those of each way where there are several.
  private(set) var rows: [ExperimentResults.Row] = []

  init(_ experiment: Experiment, setting: Int) throws {
    let tasks = experiment.tasks
    let ways = experiment.alone.indices
    let nets = try tasks.indices.map { task in
      try ways.map { try Nets(experiment, setting, task: task, way: $0) }
    }
    let chosen = tasks.indices.map { task in
      ways.dropFirst().reduce(0) { nets[task][$1].isBetter(than: nets[task][$0], tasks[task]) ? $1 : $0 }
    }
    /// - Parameter ways: by task.
    func row(_ name: String, _ ways: [Int], _ add: (inout ExperimentResults.Row, Int64, [TestScores.Test]) -> Void) {
      var row = ExperimentResults.Row(setting: experiment.settings[setting], name: name)
      let own = tasks.indices.map { nets[$0][ways[$0]] }
      for seed in experiment.seeds {
        let tests = own.compactMap { $0.best[seed] }
        if tests.count == tasks.count { add(&row, seed, tests) }
      }
      row.failures = own.flatMap(\.failures)
      row.seconds = Estimate(experiment.seeds.map { seed in own.reduce(0) { $0 + ($1.seconds[seed] ?? 0) } })?.mean
      row.estimate(tasks.count)
      rows.append(row)
    }
    func values(_ tests: [TestScores.Test]) -> ExperimentResults.TaskValues {
      .init(validation: tests.map { $0.validation[0] }, report: tests.map { $0.report[0] })
    }
    var chosenValues: [Int64: ExperimentResults.TaskValues] = [:]
    row(ExperimentResults.alone, chosen) { row, seed, tests in
      chosenValues[seed] = values(tests)
      row.add(seed, tests, values: values(tests), over: nil, tasks)
    }
    bySeed = chosenValues
    guard ways.count > 1 else { return }
    rows[0].ways = chosen.map { experiment.alone[$0] }
    for way in ways {
      row("alone, " + experiment.alone[way], tasks.map { _ in way }) { row, seed, tests in
        row.add(seed, tests, values: values(tests), over: chosenValues[seed], tasks)
      }
    }
  }
}
