import Logging
import Nets

/// The messages of a training run, word for word those that Caffe prints, each with the place in Caffe's sources that
/// its logs carry.
package struct TrainingLog: Sendable {
  private let logger: Logger

  package init(_ logger: Logger) { self.logger = logger }

  /// Where the nets come from, as files were found.
  package func creating(_ nets: SolverNets, _ settings: SolverSettings) {
    let solver = settings.parameter
    let file = { (net: Net) in net.source.file ?? "" }
    let train =
      solver.hasNetParam || solver.hasTrainNetParam
      ? "specified in \(solver.hasNetParam ? "net_param" : "train_net_param")."
      : "from \(solver.hasTrainNet ? "train_net" : "net") file: \(file(nets.train))"
    say("Creating training net \(train)", "solver.cpp", 87)
    for (index, net) in nets.tests.enumerated() {
      let (inline, own) = (solver.testNetParam.count, solver.testNetParam.count + solver.testNet.count)
      let source =
        index < inline
        ? "test_net_param"
        : index < own
          ? "test_net file: \(file(net))" : solver.hasNetParam ? "net_param" : "net file: \(file(net))"
      say("Creating test net (#\(index)) specified by \(source)", "solver.cpp", 173)
    }
    for passed in SolverNets.filesPassedOver(settings) { note(passed) }
  }

  package func starting() { say("Starting Optimization", "caffe.cpp", 239) }
  package func optimizationDone() { say("Optimization Done.", "solver.cpp", 332) }
  package func stoppedEarly() { say("Optimization stopped early.", "solver.cpp", 305) }
  package func finished() { say("Optimization Done.", "caffe.cpp", 250) }

  package func solving(_ net: String, policy: String) {
    say("Solving \(net)", "solver.cpp", 289)
    say("Learning Rate Policy: \(policy)", "solver.cpp", 290)
  }

  package func resuming(from path: String) { say("Resuming from \(path)", "caffe.cpp", 242) }
  package func finetuning(from path: String) { say("Finetuning from \(path)", "caffe.cpp", 160) }

  /// - Parameters:
  ///   - rate: iterations per second since the last such line.
  ///   - seconds: the time since then.
  package func iteration(_ iteration: Int, rate: Double, seconds: Double, display: Int, loss: Float) {
    say(
      "Iteration \(iteration) (\(logText(rate)) iter/s, \(logText(seconds))s/\(display) iters), loss = \(logText(loss))",
      "solver.cpp", 239)
  }

  package func finalLoss(_ iteration: Int, _ loss: Float) {
    say("Iteration \(iteration), loss = \(logText(loss))", "solver.cpp", 327)
  }

  package func rate(_ iteration: Int, _ rate: Float) {
    say("Iteration \(iteration), lr = \(logText(rate))", "sgd_solver.cpp", 112)
  }

  package func testing(_ iteration: Int, net: Int) {
    say("Iteration \(iteration), Testing net (#\(net))", "solver.cpp", 347)
  }

  package func testLoss(_ loss: Float) { say("Test loss: \(logText(loss))", "solver.cpp", 397) }

  package func outputs(_ outputs: [OutputValue], isTest: Bool) {
    for (index, output) in outputs.enumerated() {
      let loss =
        !output.isKnown
        ? " (no label)"
        : output.lossWeight == 0
          ? "" : " (* \(logText(output.lossWeight)) = \(logText(output.lossWeight * output.value)) loss)"
      let value = output.isKnown ? logText(output.value) : "-"
      let kind = isTest ? "    Test" : "    Train"
      say(
        "\(kind) net output #\(index): \(output.name) = \(value)\(loss)", "solver.cpp",
        isTest ? 414 : 258)
    }
  }

  /// What the tasks' losses are multiplied by, besides their loss_weight.
  package func taskWeights(_ weights: [(task: String, weight: Double)]) {
    note("Task weights: " + weights.map { "\($0.task) \(logText($0.weight))" }.joined(separator: ", "))
  }

  package func snapshotting(weights: String, _ format: SnapshotFormat) {
    switch format {
    case .binary: say("Snapshotting to binary proto file \(weights)", "solver.cpp", 464)
    case .hdf5: say("Snapshotting to HDF5 file \(weights)", "solver.cpp", 474)
    }
  }

  package func snapshotting(state: String, _ format: SnapshotFormat) {
    switch format {
    case .binary: say("Snapshotting solver state to binary proto file \(state)", "sgd_solver.cpp", 284)
    case .hdf5: say("Snapshotting solver state to HDF5 file \(state)", "sgd_solver.cpp", 294)
    }
  }

  // MARK: debug_info

  package func debugForward(_ layer: String, top blob: String, _ mean: Float) {
    say("    [Forward] Layer \(layer), top blob \(blob) data: \(logText(mean))", "net.cpp", 593)
  }

  package func debugForward(_ layer: String, parameter: String, _ mean: Float) {
    say("    [Forward] Layer \(layer), param blob \(parameter) data: \(logText(mean))", "net.cpp", 605)
  }

  package func debugBackward(_ layer: String, bottom blob: String, _ mean: Float) {
    say("    [Backward] Layer \(layer), bottom blob \(blob) diff: \(logText(mean))", "net.cpp", 621)
  }

  package func debugBackward(_ layer: String, parameter: String, _ mean: Float) {
    say("    [Backward] Layer \(layer), param blob \(parameter) diff: \(logText(mean))", "net.cpp", 632)
  }

  package func debugUpdate(_ layer: String, _ parameter: String, data: Float, diff: Float) {
    say(
      "    [Update] Layer \(layer), param \(parameter) data: \(logText(data)); diff: \(logText(diff))", "net.cpp", 649)
  }

  /// Caffe prints it as an error, so that it comes through whatever level is shown.
  package func debugNorms(l1: (data: Double, diff: Double), l2: (data: Double, diff: Double)) {
    let norms =
      "L1 norm = (\(logText(l1.data)), \(logText(l1.diff))); L2 norm = (\(logText(l2.data)), \(logText(l2.diff)))"
    logger.log(
      level: .error, "    [Backward] All net params (data, diff): \(norms)", file: "net.cpp", function: "", line: 721)
  }

  /// Anything that Caffe does not say.
  package func note(_ message: String) { say(message, "mtl", 0) }

  package func warn(_ message: String) {
    logger.log(level: .warning, "\(message)", file: "mtl", function: "", line: 0)
  }

  private func say(_ message: String, _ file: String, _ line: UInt) {
    logger.log(level: .info, "\(message)", file: file, function: "", line: line)
  }
}
