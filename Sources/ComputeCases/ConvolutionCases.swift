import Compute

/// A convolution as a prototxt describes it, the top's extents being those that the format computes.
private func convolution(
  _ bottom: [Int], to channels: Int, kernel: [Int], stride: Int = 1, pad: [Int]? = nil, dilation: Int = 1,
  groups: Int = 1, bias: Bool = true, bottomGradient: Bool = true
) -> OpCase.Operation {
  let extents = Array(bottom.dropFirst(2))
  let pad = pad ?? extents.map { _ in 0 }
  let top = extents.indices.map { axis in
    (extents[axis] + 2 * pad[axis] - dilation * (kernel[axis] - 1) - 1) / stride + 1
  }
  return .convolution(
    ConvolutionDescription(
      batch: bottom[0], bottomChannels: bottom[1], topChannels: channels, groups: groups, bottomExtents: extents,
      topExtents: top, kernel: kernel, stride: extents.map { _ in stride }, padBefore: pad,
      dilation: extents.map { _ in dilation }, hasBias: bias, bottomGradient: bottomGradient))
}

/// The same with a square kernel over images.
private func convolution(
  _ bottom: [Int], to channels: Int, _ kernel: Int, stride: Int = 1, pad: Int = 0, dilation: Int = 1, groups: Int = 1,
  bias: Bool = true, bottomGradient: Bool = true
) -> OpCase.Operation {
  convolution(
    bottom, to: channels, kernel: [kernel, kernel], stride: stride, pad: [pad, pad], dilation: dilation,
    groups: groups, bias: bias, bottomGradient: bottomGradient)
}

extension OpCase.Operation {
  /// The forward pass with what a net makes part of it; backward knows nothing of that.
  fileprivate func with(addend: Bool = false, rectifier: Bool = false) -> OpCase.Operation {
    guard case .convolution(var description) = self else { return self }
    (description.hasAddend, description.rectifies) = (addend, rectifier)
    (description.learns, description.bottomGradient) = (false, false)
    return .convolution(description)
  }
}

private func deconvolution(
  _ bottom: [Int], to channels: Int, kernel: [Int], stride: Int = 1, pad: Int = 0, dilation: Int = 1, groups: Int = 1,
  bias: Bool = true
) -> OpCase.Operation {
  let extents = Array(bottom.dropFirst(2))
  let top = extents.indices.map { axis in
    stride * (extents[axis] - 1) + dilation * (kernel[axis] - 1) + 1 - 2 * pad
  }
  return .convolution(
    ConvolutionDescription(
      batch: bottom[0], bottomChannels: bottom[1], topChannels: channels, groups: groups, bottomExtents: extents,
      topExtents: top, kernel: kernel, stride: extents.map { _ in stride }, padBefore: extents.map { _ in pad },
      dilation: extents.map { _ in dilation }, hasBias: bias, isTransposed: true))
}

extension OpCase {
  static let smallConvolutions: [Operation] = [
    convolution([2, 64, 7, 7], to: 64, 3, pad: 1),
    convolution([1, 96, 6, 6], to: 128, 3, pad: 1, bias: false),
    convolution([1, 128, 5, 6], to: 384, 3, pad: 1),
    convolution([8, 32, 7, 5], to: 48, 3, pad: 1),
    convolution([3, 20, 9, 7], to: 6, 3, pad: 1),
    convolution([3, 5, 13, 11], to: 10, 5, pad: 2, bias: false),
    convolution([2, 10, 21, 5], to: 7, kernel: [1, 3], pad: [0, 1]),
    convolution([1, 6, 12, 30], to: 23, kernel: [4, 17]),
    convolution([2, 64, 16, 18], to: 32, 3),
    // Enough channels and tiles for Winograd's algorithm: in groups, filled up, with rests of tiles, without padding and
    // with much of it.
    convolution([4, 96, 9, 10], to: 64, 3, pad: 1, groups: 2, bias: false),
    convolution([2, 33, 14, 17], to: 37, 3, pad: 2),
    convolution([4, 40, 13, 12], to: 84, 3),
    convolution([2, 3, 11, 9], to: 20, 5),
    convolution([2, 20, 8, 8], to: 50, 5),
    convolution([1, 16, 10, 10], to: 32, 5, pad: 2),
    convolution([2, 32, 6, 5], to: 48, 1),
    convolution([1, 75, 4, 4], to: 3, 1, bias: false),
    convolution([2, 16, 9, 9], to: 16, 1, stride: 2),
    convolution([2, 3, 19, 19], to: 16, 7, stride: 2, pad: 3),
    convolution([1, 3, 27, 27], to: 24, 11, stride: 4),
    // The last row and column of the bottom are in no window.
    convolution([2, 4, 10, 8], to: 6, 3, stride: 2),
    // More padding than the kernel needs: some windows see nothing.
    convolution([1, 2, 4, 4], to: 3, 3, pad: 3),
    // The kernel is larger than the bottom.
    convolution([2, 5, 3, 3], to: 7, 5, pad: 2),
    convolution([3, 8, 1, 1], to: 10, 1),
    convolution([2, 12, 6, 6], to: 18, 3, pad: 1, groups: 3),
    convolution([2, 32, 7, 7], to: 64, 5, pad: 2, groups: 2),
    convolution([2, 32, 8, 8], to: 32, 3, pad: 1, groups: 32, bias: false),
    convolution([2, 20, 8, 7], to: 20, 3, stride: 2, pad: 1, groups: 20),
    convolution([2, 6, 8, 8], to: 12, 3, pad: 1, groups: 6),
    convolution([2, 16, 11, 11], to: 16, 3, pad: 2, dilation: 2),
    convolution([1, 3, 14, 13], to: 5, 3, stride: 2, pad: 3, dilation: 3),
    convolution([2, 3, 8, 10], to: 20, kernel: [3, 5], pad: [1, 2]),
    convolution([2, 16, 9, 9], to: 16, kernel: [1, 7], pad: [0, 3]),
    convolution([2, 16, 9, 9], to: 16, kernel: [7, 1], pad: [3, 0]),
    convolution([2, 6, 8, 10], to: 5, kernel: [2, 4], stride: 2, pad: [1, 0]),
    convolution([3, 8, 20], to: 12, kernel: [5], stride: 2, pad: [2]),
    convolution([2, 3, 15], to: 4, kernel: [3], pad: [2], dilation: 2),
    convolution([2, 4, 5, 6, 7], to: 8, kernel: [3, 3, 3], pad: [1, 1, 1]),
    convolution([1, 16, 4, 8, 6], to: 16, kernel: [3, 2, 1], stride: 2, pad: [1, 0, 0], groups: 2),
    convolution([2, 3, 9, 9], to: 16, 3, pad: 1, bottomGradient: false),
    // With the sum and the rectifier behind it.
    convolution([2, 16, 9, 8], to: 24, 3, pad: 1).with(rectifier: true),
    convolution([2, 33, 14, 17], to: 37, 3, pad: 2).with(rectifier: true),
    convolution([8, 32, 16, 15], to: 48, 3, stride: 2, pad: 1).with(rectifier: true),
    convolution([2, 20, 8, 8], to: 50, 5).with(rectifier: true),
    convolution([2, 32, 8, 8], to: 32, 3, pad: 1, groups: 32, bias: false).with(rectifier: true),
    convolution([2, 32, 6, 5], to: 48, 1, bias: false).with(addend: true, rectifier: true),
    convolution([2, 5, 6, 5], to: 7, 1).with(addend: true),
    convolution([2, 40, 13, 12], to: 84, 3).with(addend: true, rectifier: true),
    convolution([4, 96, 9, 10], to: 64, 3, pad: 1, groups: 2).with(addend: true, rectifier: true),
    convolution([8, 32, 16, 15], to: 48, 3, stride: 2, pad: 1).with(addend: true),
    convolution([2, 20, 8, 8], to: 50, 5).with(addend: true, rectifier: true),
    convolution([2, 3, 15], to: 4, kernel: [3], pad: [2]).with(addend: true, rectifier: true),
    // Padding at the far side alone, as a fork's pad_r and pad_b ask for.
    .convolution(
      ConvolutionDescription(
        batch: 2, bottomChannels: 8, topChannels: 16, bottomExtents: [7, 7], topExtents: [4, 4], kernel: [3, 3],
        stride: [2, 2], padBefore: [0, 0], dilation: [1, 1], hasBias: true)),
    // Weights that do not learn: backward makes the bottom's gradient alone.
    .convolution(
      ConvolutionDescription(
        batch: 1, bottomChannels: 8, topChannels: 8, bottomExtents: [5, 5], topExtents: [5, 5], kernel: [3, 3],
        stride: [1, 1], padBefore: [1, 1], dilation: [1, 1], hasBias: true, learns: false)),
  ]

  static let smallDeconvolutions: [Operation] = [
    deconvolution([2, 4, 5, 5], to: 6, kernel: [3, 3]),
    deconvolution([2, 16, 4, 5], to: 32, kernel: [4, 4], stride: 2, pad: 1),
    deconvolution([2, 4, 4, 5], to: 4, kernel: [3, 3], stride: 2, groups: 2, bias: false),
    // Bilinear upsampling as segmentation nets do it.
    deconvolution([1, 21, 5, 4], to: 21, kernel: [4, 4], stride: 2, pad: 1, groups: 21, bias: false),
    deconvolution([1, 3, 6, 4], to: 5, kernel: [3, 2], pad: 1, dilation: 2),
    // A stride larger than the kernel leaves gaps that hold the bias alone.
    deconvolution([1, 3, 3, 3], to: 2, kernel: [2, 2], stride: 3),
    deconvolution([2, 3, 7], to: 4, kernel: [4], stride: 2, pad: 1),
    deconvolution([1, 4, 3, 4, 3], to: 3, kernel: [2, 3, 2], stride: 2),
  ]

  static let largeConvolutions: [Operation] = [
    // LeNet and the digits net
    convolution([64, 1, 28, 28], to: 20, 5, bottomGradient: false),
    convolution([64, 20, 12, 12], to: 50, 5),
    // cifar10_full
    convolution([100, 3, 32, 32], to: 32, 5, pad: 2, bottomGradient: false),
    convolution([100, 32, 16, 16], to: 32, 5, pad: 2),
    // CaffeNet
    convolution([32, 3, 227, 227], to: 96, 11, stride: 4, bottomGradient: false),
    convolution([32, 96, 27, 27], to: 256, 5, pad: 2, groups: 2),
    convolution([32, 256, 13, 13], to: 384, 3, pad: 1),
    convolution([32, 384, 13, 13], to: 256, 3, pad: 1, groups: 2),
    // GoogLeNet
    convolution([32, 3, 224, 224], to: 64, 7, stride: 2, pad: 3, bottomGradient: false),
    convolution([32, 64, 56, 56], to: 192, 3, pad: 1),
    convolution([32, 192, 28, 28], to: 64, 1),
    convolution([32, 96, 28, 28], to: 128, 3, pad: 1),
    convolution([32, 16, 28, 28], to: 32, 5, pad: 2),
    convolution([32, 512, 14, 14], to: 112, 1),
    convolution([32, 144, 14, 14], to: 288, 3, pad: 1),
    convolution([32, 832, 7, 7], to: 384, 1),
    convolution([32, 192, 7, 7], to: 384, 3, pad: 1),
    // ResNet
    convolution([32, 64, 56, 56], to: 64, 3, pad: 1, bias: false),
    convolution([32, 64, 56, 56], to: 64, 3, pad: 1).with(rectifier: true),
    convolution([32, 64, 56, 56], to: 64, 3, pad: 1).with(addend: true, rectifier: true),
    convolution([32, 64, 56, 56], to: 256, 1).with(rectifier: true),
    convolution([32, 64, 56, 56], to: 256, 1).with(addend: true, rectifier: true),
    convolution([32, 64, 56, 56], to: 128, 3, stride: 2, pad: 1, bias: false),
    convolution([32, 64, 56, 56], to: 128, 1, stride: 2, bias: false),
    convolution([32, 256, 14, 14], to: 256, 3, pad: 1, bias: false),
    convolution([32, 512, 7, 7], to: 512, 3, pad: 1, bias: false),
    convolution([32, 256, 14, 14], to: 1024, 1, bias: false),
    // VGG-16
    convolution([8, 64, 224, 224], to: 64, 3, pad: 1),
    convolution([8, 256, 56, 56], to: 256, 3, pad: 1),
    // MobileNet
    convolution([32, 64, 112, 112], to: 64, 3, stride: 2, pad: 1, groups: 64, bias: false),
    convolution([32, 512, 14, 14], to: 512, 3, pad: 1, groups: 512, bias: false),
    convolution([32, 512, 14, 14], to: 512, 1, bias: false),
    // Dilated, as in segmentation, and odd channels
    convolution([4, 256, 41, 41], to: 256, 3, pad: 2, dilation: 2),
    convolution([64, 75, 24, 24], to: 300, 5),
    deconvolution([8, 21, 32, 32], to: 21, kernel: [4, 4], stride: 2, pad: 1, groups: 21, bias: false),
    deconvolution([16, 128, 14, 14], to: 64, kernel: [4, 4], stride: 2, pad: 1),
  ]
}
