import Compute
import Tensors

private func innerProduct(
  _ bottom: Shape, axis: Int = 1, to outputs: Int, bias: Bool = true, transposed: Bool = false, learns: Bool = true
) -> OpCase.Operation {
  .innerProduct(
    InnerProductDescription(
      bottomShape: bottom, rows: bottom.count(..<axis), inputs: bottom.count(axis...), outputs: outputs,
      hasBias: bias, isTransposed: transposed, learns: learns))
}

extension OpCase {
  static let smallInnerProducts: [Operation] = [
    innerProduct([1, 500], to: 10),
    innerProduct([64, 50], to: 10),
    innerProduct([64, 256], to: 2),
    innerProduct([5, 16, 3, 3], to: 32),
    innerProduct([3, 7, 2, 5], to: 9),
    innerProduct([3, 7, 2, 5], axis: 2, to: 6),
    innerProduct([4, 33], to: 17, bias: false),
    innerProduct([4, 33], to: 17, transposed: true),
    innerProduct([2, 8, 4, 4], to: 24, bias: false, transposed: true),
    innerProduct([9, 1], to: 1),
    innerProduct([3, 12], to: 5, learns: false),
  ]

  static let largeInnerProducts: [Operation] = [
    innerProduct([64, 50, 4, 4], to: 500),
    innerProduct([64, 800], to: 256),
    innerProduct([64, 256], to: 10),
    innerProduct([32, 256, 6, 6], to: 4096),
    innerProduct([32, 4096], to: 4096),
    innerProduct([1, 4096], to: 4096),
    innerProduct([32, 1024, 1, 1], to: 1000),
    innerProduct([256, 1024], to: 1024, transposed: true),
    .product(MatrixProduct(m: 512, n: 512, k: 512)),
    .product(MatrixProduct(m: 64, n: 4096, k: 1024, transposeB: true)),
    .product(MatrixProduct(m: 1024, n: 1024, k: 64, transposeA: true, beta: 1)),
  ]

  /// All four pairs of transposes for each of these sizes.
  static let smallProducts: [Operation] = {
    let sizes = [(1, 1, 1), (4, 8, 16), (5, 7, 3), (1, 33, 20), (33, 1, 20), (17, 19, 65), (64, 10, 50)]
    let factors: [(alpha: Float, beta: Float)] = [(1, 0), (1, 1), (-0.5, 0.25)]
    return sizes.enumerated().flatMap { index, size in
      [(false, false), (false, true), (true, false), (true, true)].map { transposes in
        let (alpha, beta) = factors[index % factors.count]
        return .product(
          MatrixProduct(
            m: size.0, n: size.1, k: size.2, transposeA: transposes.0, transposeB: transposes.1, alpha: alpha,
            beta: beta))
      }
    }
  }()
}
