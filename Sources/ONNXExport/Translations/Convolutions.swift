import Compute
import Layers
import Nets
import Tensors

extension Convolution: ONNXLayer {}
extension ConvolutionDepthwise: ONNXLayer {}
extension DepthwiseConvolution: ONNXLayer {}
extension NdConvolution: ONNXLayer {}
extension Convolution3D: ONNXLayer {}
extension Deconvolution: ONNXLayer {}
extension Deconvolution3D: ONNXLayer {}

extension ONNXLayer where Self: ConvolutionLayer {
  /// Conv or ConvTranspose; their weights are laid out as the format's.
  func translate(_ layer: LayerTranslation) throws {
    let convolution = try description(of: layer.bottoms.map(\.shape))
    let axes = convolution.kernel.indices
    let after = axes.map { axis in
      let reach = (convolution.kernel[axis] - 1) * convolution.dilation[axis] + 1
      let before = convolution.padBefore[axis]
      if convolution.isTransposed {
        return convolution.stride[axis] * (convolution.bottomExtents[axis] - 1) + reach - before
          - convolution.topExtents[axis]
      }
      // Negative where the last values of the bottom are in no window.
      let read = (convolution.topExtents[axis] - 1) * convolution.stride[axis] + reach
      return max(0, read - before - convolution.bottomExtents[axis])
    }
    let attributes: [String: ONNXGraph.Attribute] = [
      "kernel_shape": .ints(convolution.kernel), "strides": .ints(convolution.stride),
      "dilations": .ints(convolution.dilation), "pads": .ints(convolution.padBefore + after),
      "group": .int(convolution.groups),
    ]
    let type = convolution.isTransposed ? "ConvTranspose" : "Conv"
    let weights = [layer.parameter(0, dims: convolution.weightShape.dims), layer.parameter(1)].compactMap { $0 }
    for (bottom, top) in zip(layer.bottoms, layer.tops) {
      guard bottom.shape != convolution.bottomShape else {
        layer.make(top, type, [bottom.name] + weights, attributes)
        continue
      }
      let flat = layer.reshaped(bottom.name, to: convolution.bottomShape)
      let made = layer.step(type, [flat] + weights, attributes)
      _ = layer.reshaped(made, to: top.shape, as: top)
    }
  }
}

extension Pooling: ONNXLayer {}
extension NdPooling: ONNXLayer {}
extension Pooling3D: ONNXLayer {}

extension ONNXLayer where Self: PoolingLayer {
  /// MaxPool or AveragePool. Windows rounded up become padding behind the last value, since runtimes disagree about
  /// `ceil_mode`.
  func translate(_ layer: LayerTranslation) throws {
    guard layer.tops.count == 1 else { throw layer.refusal("the positions of maxima have another meaning there") }
    guard !isRandom else { throw layer.refusal("pool: STOCHASTIC is not known there") }
    let pooling = try description(of: layer.bottom.shape)
    if pooling.kernel == pooling.bottomExtents, pooling.topExtents.allSatisfy({ $0 == 1 }),
      pooling.pad.allSatisfy({ $0 == 0 })
    {
      return layer.make(pooling.method == .max ? "GlobalMaxPool" : "GlobalAveragePool", [layer.bottom.name])
    }
    /// What has to be behind the last value, so that all windows find a place.
    let after = pooling.kernel.indices.map { axis in
      let read = (pooling.topExtents[axis] - 1) * pooling.stride[axis] + pooling.kernel[axis]
      return max(0, read - pooling.pad[axis] - pooling.bottomExtents[axis])
    }
    guard zip(after, pooling.kernel).allSatisfy({ $0 < $1 }) else {
      throw layer.refusal("the last window lies wholly outside the bottom, which is 0 in Caffe and undefined there")
    }
    var attributes: [String: ONNXGraph.Attribute] = [
      "kernel_shape": .ints(pooling.kernel), "strides": .ints(pooling.stride),
    ]
    func pads(_ before: [Int], _ after: [Int]) { attributes["pads"] = .ints(before + after) }
    if pooling.method == .max {
      pads(pooling.pad, after)
      return layer.make("MaxPool", [layer.bottom.name], attributes)
    }
    let isCut = zip(after, pooling.pad).contains { $0 > $1 }
    if pooling.excludesPadding || pooling.pad.allSatisfy({ $0 == 0 }) || !isCut {
      pads(pooling.pad, after)
      attributes["count_include_pad"] = .int(pooling.excludesPadding || isCut ? 0 : 1)
      return layer.make("AveragePool", [layer.bottom.name], attributes)
    }
    // The zeros of the padding count, what is beyond them does not.
    let padded = layer.step(
      "Pad", [layer.bottom.name, layer.integers([0, 0] + pooling.pad + [0, 0] + pooling.pad)])
    pads(pooling.pad.map { _ in 0 }, zip(after, pooling.pad).map { max(0, $0 - $1) })
    attributes["count_include_pad"] = .int(0)
    layer.make("AveragePool", [padded], attributes)
  }
}
