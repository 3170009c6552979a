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
  /// Whether the gradients become what was taken off the weights: what a snapshot with `snapshot_diff` holds.
  private let keepsUpdates: Bool
  private var entries: [ParameterTable.Entry]
  /// Per parameter, the rule's vectors.
  private let memories: [[Memory]]

  init(_ settings: SolverSettings, _ net: Net) {
    self.settings = settings
    engine = net.engine
    keepsUpdates = settings.snapshotsGradients
    entries = net.parameterTable.unique
    memories = entries.map { entry in
      (0..<settings.rule.historyCount).map { _ in Memory(byteCount: entry.parameter.count * MemoryLayout<Float>.stride)
      }
    }
  }

  /// Goes over to another net with the same parameters, of which others may be idle.
  func use(_ net: Net) { entries = net.parameterTable.unique }

  /// The history in the order of the format: the first vector of every parameter, then the second of every one.
  var histories: [(entry: ParameterTable.Entry, values: UnsafeMutablePointer<Float>)] {
    (0..<settings.rule.historyCount).flatMap { vector in
      zip(entries, memories).map { ($0, $1[vector].base.assumingMemoryBound(to: Float.self)) }
    }
  }

  /// Whether every gradient is a number: to be asked before the parameters are changed by them.
  var gradientsAreFinite: Bool {
    entries.allSatisfy { entry in
      let parameter = entry.parameter
      guard parameter.isLearned, !entry.isIdle, !parameter.gradientIsClear else { return true }
      return engine.vectors.isFinite(parameter.count, parameter.gradients)
    }
  }

  func apply(rate: Float, iteration: Int) {
    let scale = clipFactor() / Float(settings.iterationSize)
    for (entry, memory) in zip(entries, memories) where entry.parameter.isLearned && !entry.isIdle {
      apply(entry.parameter, memory, rate: rate, scale: scale, iteration: iteration)
    }
  }

  /// What scales the gradient of all parameters down to `clip_gradients`, or 1.
  private func clipFactor() -> Float {
    guard let limit = settings.clipGradients else { return 1 }
    var squares = 0.0
    for entry in entries where entry.parameter.isLearned && !entry.isIdle {
      let gradients = entry.parameter.settledGradients()
      squares += engine.vectors.dot(entry.parameter.count, gradients, gradients)
    }
    let norm = Float(squares.squareRoot())
    return norm > limit ? limit / norm : 1
  }

  /// A parameter's own rate.
  private func rate(
    of parameter: Parameter, _ gradients: UnsafePointer<Float>, _ rate: Float, _ scale: Float
  ) -> Float {
    guard let layerRates = settings.layerRates else { return rate * parameter.learningRateMultiplier }
    let count = parameter.count
    let weightNorm = engine.vectors.dot(count, parameter.values, parameter.values).squareRoot()
    let gradientNorm = Double(scale) * engine.vectors.dot(count, gradients, gradients).squareRoot()
    return layerRates.rate(rate, weightNorm: weightNorm, gradientNorm: gradientNorm)
  }

  private func apply(_ parameter: Parameter, _ memory: [Memory], rate: Float, scale: Float, iteration: Int) {
    let gradients = parameter.settledGradients()
    let values = parameter.values
    let first = memory[0].base.assumingMemoryBound(to: Float.self)
    let history = History(
      first: first, second: memory.count > 1 ? memory[1].base.assumingMemoryBound(to: Float.self) : first)
    let decay = settings.weightDecay * parameter.decayMultiplier
    let localRate = self.rate(of: parameter, gradients, rate, scale)
    engine.parallel(parameter.count, grain: 8192) { [settings, keepsUpdates] from, to in
      for start in stride(from: from, to: to, by: ParameterUpdate.run) {
        let g = gradients + start
        let w = values + start
        let count = min(ParameterUpdate.run, to - start)
        let old = keepsUpdates ? Array(UnsafeBufferPointer(start: w, count: count)) : []
        if decay == 0 || settings.decouplesDecay {
          let kept = 1 - localRate * decay
          if kept != 1 { for i in 0..<count { w[i] *= kept } }
          if scale != 1 { for i in 0..<count { g[i] *= scale } }
        } else if settings.regularization == .l2 {
          for i in 0..<count { g[i] = g[i] * scale + decay * w[i] }
        } else {
          for i in 0..<count { g[i] = g[i] * scale + decay * (w[i] > 0 ? 1 : w[i] < 0 ? -1 : 0) }
        }
        settings.rule.apply(count, rate: localRate, iteration: iteration, g, w, history.from(start))
        for i in old.indices { g[i] = old[i] - w[i] }
      }
    }
    parameter.touch()
  }
}
