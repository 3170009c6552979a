import Diagnostics
import Nets
import Tensors

/// What happens when a loss or a gradient is no number.
package enum NonFinitePolicy: String, Sendable, CaseIterable {
  /// The run ends before the weights are changed.
  case stop
  /// The iteration changes nothing, and the next one is tried.
  case skip
  /// The newest snapshot is gone back to, with half the learning rate.
  case rollback
}

/// How often it happened.
struct NonFiniteCount {
  /// Iterations that were skipped one after another.
  var inARow = 0
  /// The latest iteration that was rolled back, and how often.
  var rolledBack: (iteration: Int, times: Int) = (-1, 0)

  /// More than these do not help.
  static let mostInARow = 20
  static let mostRollbacks = 5
}

/// A copy of the statistics that layers keep by themselves in every forward pass, to undo a pass.
final class StatisticsCopy {
  private let parameters: [(parameter: Parameter, copy: Memory)]

  init(_ net: Net) {
    parameters = net.parameterTable.unique.filter { entry in
      net.graph.nodes[entry.layer].parameters[entry.index].isStatistic
    }.map { ($0.parameter, Memory(byteCount: $0.parameter.count * MemoryLayout<Float>.stride)) }
  }

  func save() {
    for (parameter, copy) in parameters {
      copy.base.assumingMemoryBound(to: Float.self).update(from: parameter.values, count: parameter.count)
    }
  }

  func restore() {
    for (parameter, copy) in parameters {
      parameter.values.update(from: copy.base.assumingMemoryBound(to: Float.self), count: parameter.count)
      parameter.touch()
    }
  }
}

extension Solver {
  /// Does what the user wants done when the pass that has just run made a loss or a gradient that is no number.
  ///
  /// - Parameter nextPass: the first forward pass of the next iteration.
  /// - Throws: `nonFinite` when training cannot go on.
  func handleNonFinite(nextPass: Int) throws {
    statistics.restore()
    let found = try NonFiniteSearch(nets.train, iteration: iteration).diagnose()
    statistics.restore()
    tasks.undo()
    switch options.nonFinitePolicy {
    case .stop:
      throw ended(found, "training stops before the weights are changed by it")
    case .skip:
      nonFinite.inARow += 1
      guard nonFinite.inARow <= NonFiniteCount.mostInARow else {
        throw ended(found, "\(NonFiniteCount.mostInARow) iterations in a row were skipped, and training stops")
      }
      guard parameterThatIsNoNumber == nil else {
        throw ended(found, "to skip the iteration would not help, and training stops")
      }
      log.warn(found.description + "\n  note: the iteration is skipped")
      nets.train.clock.pass = nextPass
      iteration += 1
    case .rollback:
      try rollBack(found)
    }
  }

  private func rollBack(_ found: Diagnostic) throws {
    let failed = iteration
    nonFinite.rolledBack = (failed, nonFinite.rolledBack.iteration == failed ? nonFinite.rolledBack.times + 1 : 1)
    guard nonFinite.rolledBack.times <= NonFiniteCount.mostRollbacks else {
      throw ended(found, "\(NonFiniteCount.mostRollbacks) rollbacks led here again, and training stops")
    }
    guard try goBack() else { throw ended(found, "there is no snapshot to go back to, and training stops") }
    log.warn(
      found.description
        + "\n  note: back to the snapshot of iteration \(iteration), with the learning rate times \(logText(rateFactor))"
    )
  }

  private func ended(_ found: Diagnostic, _ what: String) -> Diagnostic {
    var fault = found
    let last = newestSnapshot.map { "the last snapshot, '\($0.path)', is whole" } ?? "there is no snapshot yet"
    fault.notes.append(.init("\(what); \(last)"))
    return fault
  }

  private var parameterThatIsNoNumber: ParameterTable.Entry? {
    let vectors = nets.train.engine.vectors
    return nets.train.parameterTable.unique.first { !vectors.isFinite($0.parameter.count, $0.parameter.values) }
  }

  /// Weights that are no numbers are of no use to anybody: they must not take the place of a good snapshot.
  func checkWeightsAreFinite() throws {
    guard let entry = parameterThatIsNoNumber else { return }
    let fields = nets.train.graph.nodes[entry.layer].fields
    throw ended(
      Diagnostic(
        .nonFinite,
        "iteration \(iteration): the parameter '\(entry.name)' holds values that are no numbers; lower base_lr",
        layer: fields.identity, at: fields.location()),
      "no snapshot is made of it, and training stops")
  }
}
