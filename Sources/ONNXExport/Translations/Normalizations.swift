import CaffeSchema
import Layers
import Nets
import Tensors

extension BatchNorm: ONNXLayer {
  /// With the means and variances, and the scale and shift of forks; a Scale layer behind stays for itself.
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.batchNormParam
    guard !param.hasUseGlobalStats || param.useGlobalStats else {
      throw layer.refusal("it takes the statistics of the batch", at: "batch_norm_param.use_global_stats")
    }
    guard layer.bottom.shape.rank >= 2 else { throw layer.refusal("the bottom has no axis of channels") }
    let weight = layer.values(2)[0]
    let factor = weight == 0 ? 0 : 1 / weight
    let mean = layer.values(0).map { $0 * factor }
    var variance = layer.values(1).map { $0 * factor }
    // BatchNormalization adds its epsilon to the variance.
    var epsilon = param.eps
    if !param.addEpsBeforeSqrt {
      variance = variance.map { ($0.squareRoot() + param.eps) * ($0.squareRoot() + param.eps) }
      epsilon = 0
    }
    let count = mean.count
    layer.normalized(
      scale: layer.parameter(3) ?? layer.numbers([Float](repeating: 1, count: count), dims: [count]),
      shift: layer.parameter(4) ?? layer.numbers([Float](repeating: 0, count: count), dims: [count]),
      mean: layer.numbers(mean, dims: [count]), variance: layer.numbers(variance, dims: [count]), epsilon: epsilon)
  }
}

extension BN: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.bnParam
    let channels = layer.bottom.shape[1]
    let (slope, shift) = (try layer.weights(0, dims: [channels]), try layer.weights(1, dims: [channels]))
    if layer.parameters.count == 4 {
      return layer.normalized(
        scale: slope, shift: shift, mean: try layer.weights(2, dims: [channels]),
        variance: try layer.weights(3, dims: [channels]), epsilon: param.eps)
    }
    guard param.bnMode != .learn else {
      throw layer.refusal("it takes the statistics of the batch", at: "bn_param.bn_mode")
    }
    let dims = [channels] + [Int](repeating: 1, count: layer.bottom.shape.rank - 2)
    let scaled = layer.step("Mul", [layer.bottom.name, try layer.weights(0, dims: dims)])
    layer.make("Add", [scaled, try layer.weights(1, dims: dims)])
  }
}

extension LRN: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.lrnParam
    let size = Int(param.localSize)
    guard param.normRegion == .withinChannel else {
      return layer.make(
        "LRN", [layer.bottom.name],
        ["size": .int(size), "alpha": .float(param.alpha), "beta": .float(param.beta), "bias": .float(param.k)])
    }
    let squares = layer.step("Mul", [layer.bottom.name, layer.bottom.name])
    let mean = layer.step(
      "AveragePool", [squares],
      [
        "kernel_shape": .ints([size, size]), "strides": .ints([1, 1]),
        "pads": .ints([Int](repeating: size / 2, count: 4)), "count_include_pad": .int(1),
      ])
    let scale = layer.step("Add", [layer.step("Mul", [mean, layer.number(param.alpha)]), layer.number(1)])
    layer.make("Div", [layer.bottom.name, layer.step("Pow", [scale, layer.number(param.beta)])])
  }
}

extension MVN: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.mvnParam
    let x =
      layer.bottom.shape == layer.top.shape
      ? layer.bottom.name : layer.reshaped(layer.bottom.name, to: layer.top.shape)
    let axes: [String: ONNXGraph.Attribute] = ["axes": .ints(param.acrossChannels ? [1, 2, 3] : [2, 3])]
    let mean = layer.step("ReduceMean", [x], axes)
    guard param.normalizeVariance else { return layer.make("Sub", [x, mean]) }
    let centred = layer.step("Sub", [x, mean])
    let variance = layer.step("ReduceMean", [layer.step("Mul", [centred, centred])], axes)
    layer.make("Div", [centred, layer.plus(layer.step("Sqrt", [variance]), param.eps)])
  }
}

extension Normalization: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws { layer.unitRecords() }
}

extension NormalizationL2: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws { layer.unitRecords() }
}

extension Normalize: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let isScaled = layer.fields.parameter.hasNormParam
    let param = isScaled ? layer.fields.parameter.normParam : layer.fields.parameter.normalizeParam
    let older = layer.fields.parameter.softmaxParam
    let isSum = (older.hasNormalizeType ? older.normalizeType : param.normalizeType) == "L1"
    let rank = layer.bottom.shape.rank
    let axes: [String: ONNXGraph.Attribute] = [
      "axes": .ints(isScaled && param.acrossSpatial ? Array(1..<rank) : [1])
    ]
    let epsilon = isScaled ? param.eps : 1e-6
    let norm =
      isSum
      ? layer.plus(layer.step("ReduceL1", [layer.bottom.name], axes), epsilon)
      : layer.step("Sqrt", [layer.plus(layer.step("ReduceSumSquare", [layer.bottom.name], axes), epsilon)])
    let unit = layer.step("Div", [layer.bottom.name, norm])
    guard isScaled else {
      _ = layer.reshaped(unit, to: layer.top.shape, as: layer.top)
      if layer.tops.count > 1 { _ = layer.reshaped(norm, to: layer.tops[1].shape, as: layer.tops[1]) }
      return
    }
    let dims = param.channelShared ? [] : [layer.bottom.shape[1]] + [Int](repeating: 1, count: rank - 2)
    layer.make("Mul", [unit, try layer.weights(dims: dims)])
  }
}

extension LayerTranslation {
  fileprivate func normalized(scale: String, shift: String, mean: String, variance: String, epsilon: Float) {
    make("BatchNormalization", [bottom.name, scale, shift, mean, variance], ["epsilon": .float(epsilon)])
  }

  /// Each record divided by its length; one of length 0 stays 0.
  fileprivate func unitRecords() {
    let length = step("ReduceL2", [bottom.name], ["axes": .ints(Array(1..<max(2, bottom.shape.rank)))])
    make("Div", [bottom.name, step("Max", [length, number(.leastNormalMagnitude)])])
  }
}
