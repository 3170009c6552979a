import Compute

/// A pooling as a prototxt describes it: the top's extents are rounded up, and a last window that would start in the
/// padding behind the bottom is left out.
private func pooling(
  _ method: PoolingDescription.Method, _ bottom: [Int], kernel: [Int], stride: [Int], pad: [Int]? = nil,
  excludesPadding: Bool = false, bottomGradient: Bool = true, mask: Bool = false
) -> OpCase.Operation {
  let extents = Array(bottom.dropFirst(2))
  let pad = pad ?? extents.map { _ in 0 }
  let top = extents.indices.map { axis in
    let count = (extents[axis] + 2 * pad[axis] - kernel[axis] + stride[axis] - 1) / stride[axis] + 1
    return pad[axis] > 0 && (count - 1) * stride[axis] >= extents[axis] + pad[axis] ? count - 1 : count
  }
  return .pooling(
    PoolingDescription(
      method: method, batch: bottom[0], channels: bottom[1], bottomExtents: extents, topExtents: top, kernel: kernel,
      stride: stride, pad: pad, excludesPadding: excludesPadding, bottomGradient: bottomGradient, wantsMask: mask))
}

/// The same with a square window over images.
private func pooling(
  _ method: PoolingDescription.Method, _ bottom: [Int], _ kernel: Int, stride: Int, pad: Int = 0,
  excludesPadding: Bool = false, bottomGradient: Bool = true, mask: Bool = false
) -> OpCase.Operation {
  pooling(
    method, bottom, kernel: [kernel, kernel], stride: [stride, stride], pad: [pad, pad],
    excludesPadding: excludesPadding, bottomGradient: bottomGradient, mask: mask)
}

extension OpCase {
  static let smallPoolings: [Operation] =
    [PoolingDescription.Method.max, .average].flatMap { method in
      [
        pooling(method, [2, 16, 8, 8], 2, stride: 2),
        pooling(method, [2, 20, 9, 7], 2, stride: 2),
        // Squares that cover the bottom, in rows of 16, 8, 4 and 1
        pooling(method, [1, 3, 4, 58], 2, stride: 2),
        // Rounding up: the last windows reach past the bottom.
        pooling(method, [2, 3, 8, 7], 3, stride: 2),
        pooling(method, [1, 48, 6, 6], 3, stride: 2),
        pooling(method, [2, 16, 6, 6], 3, stride: 1, pad: 1),
        pooling(method, [2, 5, 7, 7], 3, stride: 2, pad: 1),
        // A last window that holds only padding on the far side is left out.
        pooling(method, [1, 4, 5, 5], 2, stride: 2, pad: 1),
        pooling(method, [1, 2, 6, 6], 5, stride: 3, pad: 2),
        // Global
        pooling(method, [2, 32, 7, 5], kernel: [7, 5], stride: [1, 1]),
        // A stride larger than the kernel skips elements, and rounding up puts the last window outside the bottom.
        pooling(method, [2, 3, 9, 9], 2, stride: 4),
        pooling(method, [1, 3, 8, 8], 1, stride: 2),
        pooling(method, [2, 6, 7, 9], kernel: [2, 3], stride: [1, 2], pad: [1, 0]),
        pooling(method, [2, 3, 13], kernel: [3], stride: [2]),
        pooling(method, [1, 3, 5, 6, 4], kernel: [2, 3, 2], stride: [2, 2, 1], pad: [0, 1, 1]),
        pooling(method, [2, 16, 6, 6], 2, stride: 2, bottomGradient: false),
      ]
    } + [
      pooling(.max, [2, 3, 6, 6], 2, stride: 2, mask: true),
      pooling(.max, [2, 16, 7, 7], 3, stride: 2, pad: 1, mask: true),
      pooling(.max, [2, 3, 5, 5], 2, stride: 3, bottomGradient: false, mask: true),
      pooling(.average, [2, 5, 7, 7], 3, stride: 2, pad: 1, excludesPadding: true),
      pooling(.average, [1, 16, 6, 6], 3, stride: 1, pad: 1, excludesPadding: true),
    ]

  static let largePoolings: [Operation] = [
    pooling(.max, [64, 20, 24, 24], 2, stride: 2),
    pooling(.max, [100, 32, 32, 32], 3, stride: 2),
    pooling(.max, [32, 96, 55, 55], 3, stride: 2),
    pooling(.max, [32, 64, 112, 112], 3, stride: 2),
    pooling(.max, [32, 480, 14, 14], 3, stride: 1, pad: 1),
    pooling(.average, [100, 64, 16, 16], 3, stride: 2),
    pooling(.average, [32, 512, 7, 7], 7, stride: 1),
    pooling(.average, [32, 528, 14, 14], 5, stride: 3),
  ]
}
