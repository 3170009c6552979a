import Compute
import Tensors

/// One op with fixed shapes, to be tested and timed.
///
/// `OpCase.all` is the one list of them: tests compare engines over the small ones, speed runs time the large ones.
package struct OpCase: Sendable, CustomStringConvertible {
  package enum Size: String, Sendable {
    /// Quick enough for a test: shapes chosen for their corners.
    case small
    /// A layer of a net that people train, for speed alone.
    case large
  }

  package enum Kind: String, CaseIterable, Sendable {
    case convolution, deconvolution, innerProduct, pooling, rectifier, localResponse, batchNorm, sum, concat, softmax
    case product
  }

  package enum Operation: Hashable, Sendable {
    case convolution(ConvolutionDescription)
    case innerProduct(InnerProductDescription)
    case pooling(PoolingDescription)
    case rectifier(RectifierDescription)
    case localResponse(LocalResponseDescription)
    case batchNorm(BatchNormDescription)
    case sum(SumDescription)
    case concat(ConcatDescription)
    case softmax(SoftmaxDescription)
    case product(MatrixProduct)
  }

  package let size: Size
  package let operation: Operation
  /// Unique in the list; the seed of the inputs.
  package let name: String

  package init(_ size: Size, _ operation: Operation) {
    self.size = size
    self.operation = operation
    name = operation.name
  }

  package var description: String { name }

  package static let all = smallCases + largeCases
  package static let small = all.filter { $0.size == .small }
  package static let large = all.filter { $0.size == .large }

  private static let smallCases: [OpCase] =
    (smallConvolutions + smallDeconvolutions + smallInnerProducts + smallProducts + smallPoolings
    + smallNormalizations + smallElementwise).map { OpCase(.small, $0) }
  private static let largeCases: [OpCase] =
    (largeConvolutions + largeInnerProducts + largePoolings + largeNormalizations + largeElementwise)
    .map { OpCase(.large, $0) }

  package var kind: Kind {
    switch operation {
    case .convolution(let description): description.isTransposed ? .deconvolution : .convolution
    case .innerProduct: .innerProduct
    case .pooling: .pooling
    case .rectifier: .rectifier
    case .localResponse: .localResponse
    case .batchNorm: .batchNorm
    case .sum: .sum
    case .concat: .concat
    case .softmax: .softmax
    case .product: .product
    }
  }

  package var bottomShapes: [Shape] {
    switch operation {
    case .convolution(let d): d.hasAddend ? [d.bottomShape, d.topShape] : [d.bottomShape]
    case .innerProduct(let d): [d.bottomShape]
    case .pooling(let d): [d.bottomShape]
    case .rectifier(let d): [d.shape]
    case .localResponse(let d): [d.shape]
    case .batchNorm(let d): [d.shape]
    case .sum(let d): d.coefficients.map { _ in d.shape }
    case .concat(let d): d.bottomShapes
    case .softmax(let d): [[d.outer, d.channels, d.inner]]
    case .product(let d): [d.transposeA ? [d.k, d.m] : [d.m, d.k], d.transposeB ? [d.n, d.k] : [d.k, d.n]]
    }
  }

  package var topShape: Shape {
    switch operation {
    case .convolution(let d): d.topShape
    case .innerProduct(let d): [d.rows, d.outputs]
    case .pooling(let d): d.topShape
    case .concat(let d): d.topShape
    case .product(let d): [d.m, d.n]
    case .rectifier, .localResponse, .batchNorm, .sum, .softmax: bottomShapes[0]
    }
  }

  package var weightShape: Shape? {
    switch operation {
    case .convolution(let d): d.weightShape
    case .innerProduct(let d): d.isTransposed ? [d.inputs, d.outputs] : [d.outputs, d.inputs]
    case .batchNorm(let d): d.hasScale ? [d.shape[1]] : nil
    default: nil
    }
  }

  package var biasShape: Shape? {
    switch operation {
    case .convolution(let d): d.hasBias ? [d.topChannels] : nil
    case .innerProduct(let d): d.hasBias ? [d.outputs] : nil
    case .batchNorm(let d): d.hasShift ? [d.shape[1]] : nil
    default: nil
    }
  }

  /// The passes that the op must be able to run with its top in the memory of its first bottom, and its gradient too.
  package var inPlacePasses: [OpRun.Pass] {
    switch operation {
    case .rectifier(let d): d.negativeSlope >= 0 ? [.forward, .backwardData] : [.forward]
    case .softmax: [.forward, .backwardData]
    case .sum, .batchNorm: [.forward]
    default: []
    }
  }

  /// Multiplications with addition in one pass; 0 for ops whose time is not theirs.
  package var multiplyAdds: Int {
    switch operation {
    case .convolution(let d): d.multiplyAdds
    case .innerProduct(let d): d.rows * d.inputs * d.outputs
    case .product(let d): d.m * d.n * d.k
    default: 0
    }
  }

  /// Bytes that a forward pass must at least read and write.
  package var byteCount: Int {
    let parameters = (weightShape?.count ?? 0) + (biasShape?.count ?? 0)
    let blobs = bottomShapes.map(\.count).reduce(topShape.count, +)
    return (parameters + blobs) * MemoryLayout<Float>.stride
  }
}
