import CaffeSchema
import Diagnostics
import Nets
import Tasks

/// The best test of each task, and the end of a training that makes no task better.
extension Solver {
  /// What tells how good each task is, where `multi_task` asks for the best or for an end.
  func bestMetricsOfTasks() throws -> [TaskMetric] {
    let param = settings.parameter.multiTask
    guard param.keepBest || param.patience > 0 else { return [] }
    let index = Int(param.validationNet)
    let field = param.keepBest ? "keep_best" : "patience"
    guard nets.tests.indices.contains(index), settings.testInterval > 0 else {
      throw Diagnostic(
        .badSolver,
        "\(field) looks at test net \(index), which the solver does not have; set test_iter and test_interval",
        at: settings.source.places.location("multi_task.\(field)"))
    }
    let net = nets.tests[index]
    do {
      return try TaskMetric.all(in: net.graph, TaskTable(net), named: net.source.parameter.task)
    } catch let fault as Diagnostic {
      throw Diagnostic(fault.code, fault.message, at: settings.source.places.location("multi_task"))
    }
  }

  /// Notes which tasks got better, keeps their weights, and ends the training when none has for long.
  func keepBestOfTasks(_ outputs: [[OutputValue]]) throws {
    guard !taskMetrics.isEmpty else { return }
    let param = settings.parameter.multiTask
    let validation = outputs[Int(param.validationNet)]
    var better: [TaskMetric] = []
    for metric in taskMetrics where stopping?.states[metric.task]?.stoppedAt == nil {
      guard let output = validation.first(where: { $0.name == metric.output && $0.isKnown }), output.value.isFinite
      else { continue }
      let score = BestScore(metric: metric.output, value: output.value, iteration: iteration)
      guard score.isBetter(than: taskBests[metric.task], lowerIsBetter: metric.lowerIsBetter) else { continue }
      taskBests[metric.task] = score
      better.append(metric)
    }
    if param.keepBest {
      for metric in better { try keepWeights(files.bestWeightsPath(ofTask: metric.task)) }
      if !better.isEmpty {
        let list = better.map { "\($0.task) (\($0.output) \(logText(taskBests[$0.task]?.value ?? 0)))" }
        log.note("best so far of \(list.joined(separator: ", ")) at iteration \(iteration)")
      }
    }
    testsWithoutGain = better.isEmpty ? testsWithoutGain + 1 : 0
    guard param.patience > 0, testsWithoutGain >= Int(param.patience) else { return }
    log.note("no task got better in \(testsWithoutGain) tests in a row; training ends at iteration \(iteration)")
    isOver = true
  }
}

extension BestScore {
  func isBetter(than other: BestScore?, lowerIsBetter: Bool) -> Bool {
    guard let other, other.metric == metric else { return true }
    return lowerIsBetter ? value < other.value : value > other.value
  }
}

extension Solver {
  /// The tasks of the whole training net, with the outputs of the test net that tells of them.
  var taskOutputs: [TaskOutputs] {
    let index = Int(settings.parameter.multiTask.validationNet)
    let tested = nets.tests.indices.contains(index) ? nets.tests[index] : nil
    let named = nets.train.source.parameter.task
    let main = tested.flatMap { try? TaskMetric.all(in: $0.graph, TaskTable($0), named: named) } ?? []
    let tests = tested.map { net in (net, TaskTable(net).learned) }
    return allTasks.map { task in
      let metric = main.first { $0.task == task.name }
      let others = tests.flatMap { net, tasks in
        tasks.first { $0.name == task.name }?.metrics.map { net.graph.values[$0].name }
      }
      let first = metric.map { task.losses.contains($0.output) ? [] : [$0.output] } ?? []
      return TaskOutputs(
        name: task.name, losses: task.losses, metrics: first + (others ?? []).filter { !first.contains($0) },
        lowerIsBetter: metric?.lowerIsBetter ?? true)
    }
  }
}
