import Compute
import Nets
import Tensors

/// Changes a net's parameters by their gradients: clips, averages, adds the decay and applies the solver's rule, in one
/// pass over each parameter and in parallel.
final class ParameterUpdate {
  /// Elements that stay in the nearest cache from one loop over them to the next.
  private static let run = 2048

  private let settings: SolverSettings
  private let engine: any Engine
  private let entries: [ParameterTable.Entry]
  /// Per parameter, the rule's vectors.
  private let memories: [[Memory]]

  init(_ settings: SolverSettings, _ net: Net) {
    self.settings = settings
    engine = net.engine
    entries = net.parameterTable.unique
    memories = entries.map { entry in
      (0..<settings.rule.historyCount).map { _ in Memory(byteCount: entry.parameter.count * MemoryLayout<Float>.stride)
      }
    }
  }

  /// The history in the order of the format: the first vector of every parameter, then the second of every one.
  var histories: [(entry: ParameterTable.Entry, values: UnsafeMutablePointer<Float>)] {
    (0..<settings.rule.historyCount).flatMap { vector in
      zip(entries, memories).map { ($0, $1[vector].base.assumingMemoryBound(to: Float.self)) }
    }
  }

  func apply(rate: Float, iteration: Int) {
    let scale = clipFactor() / Float(settings.iterationSize)
    for (entry, memory) in zip(entries, memories) where entry.parameter.isLearned {
      apply(entry.parameter, memory, rate: rate, scale: scale, iteration: iteration)
    }
  }

  /// What scales the gradient of all parameters down to `clip_gradients`, or 1.
  private func clipFactor() -> Float {
    guard let limit = settings.clipGradients else { return 1 }
    var squares = 0.0
    for entry in entries where entry.parameter.isLearned {
      let gradients = entry.parameter.settledGradients()
      squares += engine.vectors.dot(entry.parameter.count, gradients, gradients)
    }
    let norm = Float(squares.squareRoot())
    return norm > limit ? limit / norm : 1
  }

  private func apply(_ parameter: Parameter, _ memory: [Memory], rate: Float, scale: Float, iteration: Int) {
    let gradients = parameter.settledGradients()
    let values = parameter.values
    let first = memory[0].base.assumingMemoryBound(to: Float.self)
    let history = History(
      first: first, second: memory.count > 1 ? memory[1].base.assumingMemoryBound(to: Float.self) : first)
    let decay = settings.weightDecay * parameter.decayMultiplier
    let localRate = rate * parameter.learningRateMultiplier
    engine.parallel(parameter.count, grain: 8192) { [settings] from, to in
      for start in stride(from: from, to: to, by: ParameterUpdate.run) {
        let g = gradients + start
        let w = values + start
        let count = min(ParameterUpdate.run, to - start)
        if decay == 0 {
          if scale != 1 { for i in 0..<count { g[i] *= scale } }
        } else if settings.regularization == .l2 {
          for i in 0..<count { g[i] = g[i] * scale + decay * w[i] }
        } else {
          for i in 0..<count { g[i] = g[i] * scale + decay * (w[i] > 0 ? 1 : w[i] < 0 ? -1 : 0) }
        }
        settings.rule.apply(count, rate: localRate, iteration: iteration, g, w, history.from(start))
      }
    }
    parameter.touch()
  }
}
