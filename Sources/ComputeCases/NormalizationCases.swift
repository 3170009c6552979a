import Compute
import Tensors

private func localResponse(
  _ shape: Shape, size: Int = 5, alpha: Float = 1e-4, beta: Float = 0.75, k: Float = 1
) -> OpCase.Operation {
  .localResponse(LocalResponseDescription(shape: shape, size: size, alpha: alpha, beta: beta, k: k))
}

private func batchNorm(
  _ shape: Shape, _ statistics: BatchNormDescription.Statistics = .batch, epsilon: Float = 1e-5, scale: Bool = false,
  shift: Bool = false, rectifies: Bool = false
) -> OpCase.Operation {
  .batchNorm(
    BatchNormDescription(
      shape: shape, epsilon: epsilon, statistics: statistics, hasScale: scale, hasShift: shift, rectifies: rectifies))
}

private func softmax(_ outer: Int, _ channels: Int, _ inner: Int) -> OpCase.Operation {
  .softmax(SoftmaxDescription(outer: outer, channels: channels, inner: inner))
}

extension OpCase {
  static let smallNormalizations: [Operation] = [
    localResponse([2, 16, 5, 5]),
    localResponse([2, 7, 4, 5], alpha: 0.5),
    localResponse([2, 32, 4, 4], size: 3, alpha: 0.5, beta: 0.6, k: 2),
    // The window is larger than the number of channels.
    localResponse([1, 3, 4, 4], alpha: 1, beta: 0.5),
    localResponse([1, 20, 3, 3], size: 1, alpha: 0.3),
    batchNorm([4, 16, 5, 5]),
    batchNorm([4, 3, 5, 7], epsilon: 1e-2),
    batchNorm([8, 20]),
    batchNorm([3, 4, 11]),
    batchNorm([2, 5, 3, 4, 3]),
    batchNorm([1, 6, 4, 4]),
    batchNorm([4, 16, 5, 5], .given),
    batchNorm([8, 20], .given),
    batchNorm([4, 16, 5, 5], scale: true),
    batchNorm([3, 16, 7, 5], scale: true, shift: true),
    batchNorm([3, 7, 7, 5], scale: true, shift: true),
    batchNorm([6, 33], scale: true, shift: true),
    batchNorm([3, 32, 5, 5], scale: true, shift: true, rectifies: true),
    batchNorm([3, 6, 5, 5], scale: true, shift: true, rectifies: true),
    batchNorm([2, 16, 5, 5], rectifies: true),
    batchNorm([2, 16, 5, 5], .given, scale: true, shift: true, rectifies: true),
    batchNorm([2, 16, 5, 5], .none, scale: true),
    batchNorm([2, 5, 3, 3], .none, scale: true, shift: true),
    batchNorm([5, 20], .none, scale: true, shift: true, rectifies: true),
    // Enough for several runs of sums.
    batchNorm([3, 16, 33, 67], scale: true, shift: true, rectifies: true),
    softmax(8, 10, 1),
    softmax(1, 1000, 1),
    softmax(2, 21, 12),
    softmax(3, 1, 4),
    softmax(1, 2, 1),
  ]

  static let largeNormalizations: [Operation] = [
    localResponse([32, 96, 27, 27]),
    localResponse([32, 64, 56, 56]),
    localResponse([32, 192, 56, 56]),
    batchNorm([32, 64, 112, 112]),
    batchNorm([32, 256, 14, 14]),
    batchNorm([32, 2048, 7, 7]),
    batchNorm([32, 64, 56, 56], .given),
    batchNorm([32, 64, 56, 56], scale: true, shift: true),
    batchNorm([32, 64, 56, 56], scale: true, shift: true, rectifies: true),
    batchNorm([32, 64, 56, 56], .none, scale: true, shift: true),
    softmax(64, 10, 1),
    softmax(256, 1000, 1),
    softmax(4, 21, 512 * 512),
  ]
}
