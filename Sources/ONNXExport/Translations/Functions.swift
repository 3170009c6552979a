import CaffeSchema
import Foundation
import Layers
import Nets
import Tensors

extension ReLU: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.reluParam
    if param.relu6 { return layer.clip(0, layer.fields.parameter.relu6Param.n) }
    if param.negativeSlope == 0 { return layer.make("Relu", [layer.bottom.name]) }
    layer.make("LeakyRelu", [layer.bottom.name], ["alpha": .float(param.negativeSlope)])
  }
}

extension ReLU6: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws { layer.clip(0, layer.fields.parameter.relu6Param.n) }
}

extension Clip: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    layer.clip(layer.fields.parameter.clipParam.min, layer.fields.parameter.clipParam.max)
  }
}

extension PReLU: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let count = layer.parameters[0].parameter.count
    let dims = count == 1 ? [1] : [count] + [Int](repeating: 1, count: layer.bottom.shape.rank - 2)
    layer.make("PRelu", [layer.bottom.name, try layer.weights(dims: dims)])
  }
}

extension ELU: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    layer.make("Elu", [layer.bottom.name], ["alpha": .float(layer.fields.parameter.eluParam.alpha)])
  }
}

extension Sigmoid: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws { layer.make("Sigmoid", [layer.bottom.name]) }
}

extension TanH: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws { layer.make("Tanh", [layer.bottom.name]) }
}

extension AbsVal: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws { layer.make("Abs", [layer.bottom.name]) }
}

extension BNLL: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws { layer.make("Softplus", [layer.bottom.name]) }
}

extension Swish: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let inner = layer.times(layer.bottom.name, layer.fields.parameter.swishParam.beta)
    layer.make("Mul", [layer.bottom.name, layer.step("Sigmoid", [inner])])
  }
}

extension Threshold: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let threshold = layer.number(layer.fields.parameter.thresholdParam.threshold)
    let isAbove = layer.step("Greater", [layer.bottom.name, threshold])
    layer.make("Cast", [isAbove], ["to": .int(LayerTranslation.float)])
  }
}

extension Power: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.powerParam
    let inner = layer.plus(layer.times(layer.bottom.name, param.scale), param.shift)
    param.power == 1 ? layer.make("Identity", [inner]) : layer.make("Pow", [inner, layer.number(param.power)])
  }
}

extension Exp: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.expParam
    let logarithm = param.base == -1 ? 1 : log(param.base)
    layer.make(
      "Exp", [layer.plus(layer.times(layer.bottom.name, logarithm * param.scale), logarithm * param.shift)])
  }
}

extension Log: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.logParam
    let inner = layer.plus(layer.times(layer.bottom.name, param.scale), param.shift)
    if param.base == -1 { return layer.make("Log", [inner]) }
    layer.make("Mul", [layer.step("Log", [inner]), layer.number(1 / log(param.base))])
  }
}

extension Dropout: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.dropoutParam
    guard !param.sampleWeightsTest else {
      throw layer.refusal("it drops at random in TEST", at: "dropout_param.sample_weights_test")
    }
    param.scaleTrain
      ? layer.make("Identity", [layer.bottom.name])
      : layer.make("Mul", [layer.bottom.name, layer.number(1 - param.dropoutRatio)])
  }
}

extension Softmax: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let axis = try layer.bottom.shape.canonicalAxis(Int(layer.fields.parameter.softmaxParam.axis))
    layer.make("Softmax", [layer.bottom.name], ["axis": .int(axis)])
  }
}

extension ArgMax: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.argmaxParam
    guard param.topK == 1 else {
      throw layer.refusal("of equal values other ones come first there", at: "argmax_param.top_k")
    }
    let shape = layer.bottom.shape
    let axis = param.hasAxis ? try shape.canonicalAxis(Int(param.axis)) : 1
    let rows =
      param.hasAxis
      ? layer.bottom.name : layer.reshaped(layer.bottom.name, to: [shape[0], shape.count(1...)])
    func best() -> String {
      let index = layer.step(
        "ArgMax", [rows], ["axis": .int(axis), "keepdims": .int(1), "select_last_index": .int(1)])
      return layer.step("Cast", [index], ["to": .int(LayerTranslation.float)])
    }
    func most() -> String { layer.step("ReduceMax", [rows], ["axes": .ints([axis]), "keepdims": .int(1)]) }
    if param.hasAxis { return layer.make("Identity", [param.outMaxVal ? most() : best()]) }
    let pair = param.outMaxVal ? layer.step("Concat", [best(), most()], ["axis": .int(1)]) : best()
    _ = layer.reshaped(pair, to: layer.top.shape, as: layer.top)
  }
}

extension Reduction: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.reductionParam
    let axes = Array(try layer.bottom.shape.canonicalAxis(Int(param.axis))..<layer.bottom.shape.rank)
    let keeps = ("keepdims", ONNXGraph.Attribute.int(0))
    func reduced(_ type: String) -> String {
      layer.step(type, [layer.bottom.name], ["axes": .ints(axes), keeps.0: keeps.1])
    }
    let sum =
      switch param.operation {
      case .sum: layer.step("ReduceSum", [layer.bottom.name, layer.integers(axes)], [keeps.0: keeps.1])
      case .asum: reduced("ReduceL1")
      case .sumsq: reduced("ReduceSumSquare")
      case .mean: reduced("ReduceMean")
      }
    param.coeff == 1 ? layer.make("Identity", [sum]) : layer.make("Mul", [sum, layer.number(param.coeff)])
  }
}

extension LayerTranslation {
  func clip(_ low: Float, _ high: Float) { make("Clip", [bottom.name, number(low), number(high)]) }

  func times(_ value: String, _ factor: Float) -> String {
    factor == 1 ? value : step("Mul", [value, number(factor)])
  }

  func plus(_ value: String, _ term: Float) -> String { term == 0 ? value : step("Add", [value, number(term)]) }
}
