import Compute
import Tensors

/// What an op reads, as plain vectors in the order of their shapes; empty where the op has no such input.
package struct OpInputs: Sendable {
  package var bottoms: [[Float]]
  package var weights: [Float]
  package var bias: [Float]
  /// Given statistics of a batch norm.
  package var mean: [Float]
  package var variance: [Float]
  /// What C holds before a product.
  package var initialTop: [Float]
  package var topGradient: [Float]

  package init(
    bottoms: [[Float]], weights: [Float] = [], bias: [Float] = [], mean: [Float] = [], variance: [Float] = [],
    initialTop: [Float] = [], topGradient: [Float]
  ) {
    self.bottoms = bottoms
    self.weights = weights
    self.bias = bias
    self.mean = mean
    self.variance = variance
    self.initialTop = initialTop
    self.topGradient = topGradient
  }
}

extension OpCase {
  /// The same numbers in every run: a stream for each input, keyed by the case's name.
  ///
  /// Uniform in -1 ..< 1, except:
  /// - weights shrink with the square root of the number of products in a sum, so that tops are about as large as
  ///   bottoms;
  /// - bottoms of a small maximum differ by 0.02 at least, and those of a rectifier are 0.1 away from 0 at least, so
  ///   that a small step changes no choice;
  /// - variances lie in 0.5 ..< 1.5.
  package func inputs() -> OpInputs {
    let bottoms = bottomShapes.enumerated().map { index, shape in
      bottomValues(shape.count, stream("bottom \(index)"))
    }
    var inputs = OpInputs(bottoms: bottoms, topGradient: uniform(topShape.count, stream("top gradient")))
    if let shape = weightShape, kind != .batchNorm {
      let scale = (3 / Float(max(1, multiplyAdds / topShape.count))).squareRoot()
      inputs.weights = uniform(shape.count, stream("weights")).map { $0 * scale }
    }
    if let shape = weightShape, kind == .batchNorm { inputs.weights = uniform(shape.count, stream("scale")) }
    if let shape = biasShape { inputs.bias = uniform(shape.count, stream("bias")) }
    if case .batchNorm(let description) = operation, description.statistics == .given {
      inputs.mean = uniform(description.shape[1], stream("mean"))
      inputs.variance = uniform(description.shape[1], stream("variance")).map { 1 + $0 / 2 }
    }
    if kind == .product { inputs.initialTop = uniform(topShape.count, stream("top")) }
    return inputs
  }

  private func stream(_ input: String) -> RandomStream {
    RandomStream(seed: 1, RandomStream.part(name), RandomStream.part(input))
  }

  private func uniform(_ count: Int, _ stream: RandomStream) -> [Float] {
    (0..<count).map { 2 * stream.uniform($0) - 1 }
  }

  private func bottomValues(_ count: Int, _ stream: RandomStream) -> [Float] {
    switch operation {
    case .pooling(let description) where description.method == .max && size == .small:
      stream.permutation(count).map { Float($0 - count / 2) * 0.02 }
    case .rectifier:
      uniform(count, stream).map { $0 < 0 ? $0 - 0.1 : $0 + 0.1 }
    default:
      uniform(count, stream)
    }
  }
}
