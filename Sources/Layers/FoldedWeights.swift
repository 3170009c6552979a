import Nets
import Tensors

/// A layer that, with constants for its statistics, multiplies each channel by a factor and adds a term.
protocol ChannelAffine: Layer {
  /// Whether it is nothing else over N x C x …
  func isAffine(over bottom: Shape) -> Bool
  /// What becomes of `factor` x + `term` in a channel.
  func apply(_ parameters: [Parameter], channel: Int, factor: inout Double, term: inout Double)
}

/// The weights of a convolution (K x …) and its bias (K) with those layers behind it worked in, made anew whenever one of
/// their parameters has changed.
final class FoldedWeights {
  let weights: Parameter
  let bias: Parameter
  private let original: (weights: Parameter, bias: Parameter?)
  private let layers: [(definition: any ChannelAffine, parameters: [Parameter])]
  private var version: Int?

  init(_ weights: Parameter, bias: Parameter?, _ followers: [AbsorbedLayer]) {
    original = (weights, bias)
    self.weights = Parameter(shape: weights.shape)
    self.bias = Parameter(shape: [weights.shape[0]])
    layers = followers.compactMap { follower in
      (follower.definition as? any ChannelAffine).map { ($0, follower.parameters) }
    }
  }

  /// Versions only grow, so their sum changes when one does.
  private var currentVersion: Int {
    var sum = original.weights.version + (original.bias?.version ?? 0)
    for layer in layers {
      for parameter in layer.parameters { sum += parameter.version }
    }
    return sum
  }

  func update() {
    let current = currentVersion
    guard version != current else { return }
    version = current
    let row = weights.count / bias.count
    for k in 0..<bias.count {
      var factor = 1.0
      var term = Double(original.bias?.values[k] ?? 0)
      for layer in layers { layer.definition.apply(layer.parameters, channel: k, factor: &factor, term: &term) }
      bias.values[k] = Float(term)
      for i in (k * row)..<((k + 1) * row) { weights.values[i] = Float(Double(original.weights.values[i]) * factor) }
    }
    weights.touch()
    bias.touch()
  }
}
