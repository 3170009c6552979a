import CaffeSchema
import Diagnostics
import Foundation
import Nets
import Tensors

/// Snapshots and going on from them.
extension Solver {
  // MARK: Going on

  /// Goes on from a snapshot: weights, history, iteration, the place in the data, and all else that a run remembers.
  ///
  /// The data of a state without a run state, as Caffe writes it, start over: it does not tell where they stood.
  ///
  /// - Throws: `badState`, `badWeights` or `unreadableFile`; then nothing has been changed.
  package func restore(_ point: ResumePoint) throws {
    if let solver = point.runState?.solver, solver != settings.ruleName {
      throw Diagnostic(
        .badState,
        "'\(point.path)' is the state of a solver of type \"\(solver)\", and this one is of type \"\(settings.ruleName)\"; "
          + "set type to \"\(solver)\", or start from its weights with --weights")
    }
    let state = try point.readState()
    try check(state, from: point.path)
    var heads = stopping?.bestHeads
    try heads?.load(state.bestHead, from: point.path)
    let weights = try point.weightsPath(state)
    let report = try nets.train.load(try NetSource.readWeights(weights), from: weights, requiresAll: true)
    for layer in report.unused { log.note("Ignoring source layer \(layer)") }
    stopping?.bestHeads = heads
    for (blob, history) in zip(state.history, update.histories) { blob.copyValues(to: history.values) }
    iteration = Int(state.iter)
    newestSnapshot = (iteration, point.path, isOver: point.runState?.isOver ?? false)
    lastDisplay = (iteration, monotonicSeconds())
    log.resuming(from: point.path)
    if let runState = point.runState {
      try restore(runState)
    } else {
      for net in [nets.train] + nets.tests { net.clock.pass = 0 }
      _ = tasks.restore(nil)
      log.note(
        "'\(namePart(of: point.path))' has no .runstate beside it, as Caffe's have not: the data start over, and so does "
          + "the smoothed loss")
    }
  }

  private func restore(_ runState: RunState) throws {
    nets.train.clock.pass = runState.trainPass
    for (net, pass) in zip(nets.tests, runState.testPasses) { net.clock.pass = pass }
    recentLosses = Array(runState.recentLosses.suffix(settings.averageLoss))
    rateFactor = runState.rateFactor
    best = runState.best
    taskBests = runState.taskBests ?? [:]
    testsWithoutGain = runState.testsWithoutGain ?? 0
    judgedTest = runState.judgedTest
    isOver = runState.isOver ?? false
    for (task, state) in runState.stopping ?? [:] where stopping?.states[task] != nil { stopping?.states[task] = state }
    try leaveOutStoppedTasks()
    keptSnapshots = runState.kept
    if let misfit = tasks.restore(runState.tasks) {
      log.warn("the weighting of the tasks starts anew: of the snapshot that the run goes on from, \(misfit)")
    }
  }

  /// Sees whether a state belongs to this solver and net.
  private func check(_ state: SolverState, from path: String) throws {
    let histories = update.histories
    let count = nets.train.parameterTable.unique.count
    guard state.history.count == histories.count else {
      let theirs = count > 0 && state.history.count % count == 0 ? state.history.count / count : nil
      throw Diagnostic(
        .badState,
        "'\(path)' holds \(state.history.count) history blobs, but this solver and net keep \(histories.count): "
          + (theirs.map {
            "\($0) for each of \(count) parameters where type \"\(settings.ruleName)\" keeps \(settings.rule.historyCount), "
              + "so it is of another solver type"
          } ?? "it is of another net"))
    }
    for (blob, history) in zip(state.history, histories)
    where !blob.holds(history.entry.parameter.shape) || blob.valueCount != history.entry.parameter.count {
      throw Diagnostic(
        .badState,
        "'\(path)' is of another net: its history of layer '\(history.entry.layerName)' \(history.entry.name) is "
          + "\(Shape(blob.dims)), and here it is \(history.entry.parameter.shape)")
    }
  }

  // MARK: Writing

  /// Sees whether snapshots can be written, before training.
  func prepareSnapshots() throws {
    let values = nets.train.parameterTable.unique.reduce(0) { $0 + $1.parameter.count }
    // The binary form has a shared parameter at each of its layers.
    let all = nets.train.parameterTable.byLayer.joined().reduce(0) { $0 + $1.count }
    let weights = (files.format == .binary ? all : values) * (settings.snapshotsGradients ? 2 : 1)
    try files.prepareFolder(for: (weights + values * settings.rule.historyCount) * MemoryLayout<Float>.stride)
  }

  /// Writes weights and state of the present iteration, unless that has been done.
  ///
  /// - Throws: `unwritableFile` or `outOfSpace`, and all snapshots are as they were; `nonFinite` when a weight is no
  ///   number any more.
  package func snapshot() throws {
    wantsSnapshot = false
    // A test that ends training may change tasks' layers after the snapshot of its iteration.
    if let newest = newestSnapshot, newest.iteration == iteration, newest.isOver == isOver { return }
    try checkWeightsAreFinite()
    do {
      try writeSnapshot()
    } catch let fault as Diagnostic {
      let last = newestSnapshot.map { "the last whole snapshot is '\($0.path)'" }
      throw Diagnostic(
        fault.code, fault.message,
        notes: [
          .init(
            "training stops at iteration \(iteration); \(last ?? "there is no snapshot of this run yet"). Once that is "
              + "mended, go on with --resume")
        ])
    }
    newestSnapshot = (iteration, files.statePath(iteration), isOver)
    keptSnapshots = keptSnapshots.filter { $0 != iteration } + [iteration]
    prune()
  }

  private func writeSnapshot() throws {
    let staged = StagedFiles()
    let weights = files.weightsPath(iteration)
    log.snapshotting(weights: weights, files.format)
    let weightsFile = try stageWeights(weights, gradients: settings.snapshotsGradients, staged)
    guard settings.snapshotsState else { return try staged.commit() }
    let path = files.statePath(iteration)
    log.snapshotting(state: path, files.format)
    let stateFile = try stageState(path, weights: weights, staged)
    // First in its place: then a snapshot that is half there is known as such, and never taken for one of Caffe's.
    try staged.add(
      runState(weights: weightsFile, state: stateFile).text(), for: files.runStatePath(iteration), isFirst: true)
    try staged.commit()
  }

  private func stageWeights(_ path: String, gradients: Bool, _ staged: StagedFiles) throws -> RunState.File {
    switch files.format {
    case .binary: return try stage(binaryForm(of: nets.train.snapshot(gradients: gradients), for: path), path, staged)
    case .hdf5: return try stage(path, staged) { try nets.train.writeHDF5(to: $0, gradients: gradients) }
    }
  }

  private func stageState(_ path: String, weights: String, _ staged: StagedFiles) throws -> RunState.File {
    var state = SolverState()
    state.iter = Int32(iteration)
    state.learnedNet = weights
    // The steps before the last iteration's rate, as Caffe counts them.
    state.currentStep = Int32(settings.rates.policy.stepsDone(max(0, iteration - 1)))
    state.bestHead = stopping?.bestHeads?.saved ?? []
    switch files.format {
    case .binary:
      state.history = update.histories.map { BlobProto(values: $0.values, shape: $0.entry.parameter.shape) }
      return try stage(binaryForm(of: state, for: path), path, staged)
    case .hdf5:
      return try stage(path, staged) { try HDF5State.write(state, update.histories, to: $0) }
    }
  }

  private func stage(_ bytes: Data, _ path: String, _ staged: StagedFiles) throws -> RunState.File {
    try staged.add(bytes, for: path)
    return RunState.File(name: namePart(of: path), bytes: bytes)
  }

  private func stage(
    _ path: String, _ staged: StagedFiles, write: (String) throws -> Void
  ) throws -> RunState.File {
    var bytes = Data()
    try staged.add(for: path) { part in
      try write(part)
      bytes = try readFile(part)
    }
    return RunState.File(name: namePart(of: path), bytes: bytes)
  }

  private func runState(weights: RunState.File, state: RunState.File) -> RunState {
    RunState(
      iteration: iteration, solver: settings.ruleName, seed: nets.train.clock.seed,
      trainPass: nets.train.clock.pass, testPasses: passesBeforeTest ?? nets.tests.map(\.clock.pass),
      recentLosses: recentLosses, rateFactor: rateFactor, best: best,
      taskBests: taskBests.isEmpty ? nil : taskBests, testsWithoutGain: testsWithoutGain == 0 ? nil : testsWithoutGain,
      judgedTest: judgedTest, isOver: isOver ? true : nil,
      stopping: stopping?.states, kept: keptSnapshots.filter { $0 != iteration } + [iteration],
      tasks: tasks.saved, written: Date().timeIntervalSince1970, weights: weights, state: state)
  }

  /// Removes the oldest snapshots of this run, where only some are kept.
  private func prune() {
    guard let count = options.keptSnapshots else { return }
    for iteration in keptSnapshots.dropLast(count) { files.remove(iteration) }
    keptSnapshots = Array(keptSnapshots.suffix(count))
  }

  /// Writes the weights of the best test so far.
  func keepIfBest(_ outputs: [[OutputValue]]) throws {
    guard let metric = options.best else { return }
    let value = metric.value(outputs)
    guard metric.isBetter(value, than: best) else { return }
    best = BestScore(metric: metric.text, value: value, iteration: iteration)
    let path = files.bestWeightsPath
    log.note("best \(metric.text) so far, \(logText(value)) at iteration \(iteration); its weights are kept in \(path)")
    try keepWeights(path)
  }

  /// Writes the present weights alone.
  func keepWeights(_ path: String) throws {
    let staged = StagedFiles()
    _ = try stageWeights(path, gradients: false, staged)
    try staged.commit()
  }

  // MARK: Going back

  /// Goes back to the newest snapshot and halves the learning rate.
  ///
  /// - Returns: false when there is none.
  func goBack() throws -> Bool {
    guard let newest = newestSnapshot, settings.snapshotsState else { return false }
    let factor = rateFactor / 2
    try restore(ResumePoint(newest.path))
    rateFactor = factor
    for recorder in options.recorders { try recorder.start(at: iteration) }
    return true
  }
}
