import Layers
import Nets
import Tensors

extension InnerProduct: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.innerProductParam
    guard !param.normalize else {
      throw layer.refusal("normalize is not known there", at: "inner_product_param.normalize")
    }
    let axis = try layer.bottom.shape.canonicalAxis(Int(param.axis))
    let isFlat = layer.bottom.shape.rank == 2 && axis == 1
    let rows = isFlat ? layer.bottom.name : layer.step("Flatten", [layer.bottom.name], ["axis": .int(axis)])
    let inputs = [rows, try layer.weights()] + [layer.parameter(1)].compactMap { $0 }
    let attributes: [String: ONNXGraph.Attribute] = ["transB": .int(param.transpose ? 0 : 1)]
    if layer.top.shape.rank == 2, axis == 1 { return layer.make("Gemm", inputs, attributes) }
    _ = layer.reshaped(layer.step("Gemm", inputs, attributes), to: layer.top.shape, as: layer.top)
  }
}

extension Embed: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let indices = layer.step("Cast", [layer.bottom.name], ["to": .int(LayerTranslation.int64)])
    let weights = try layer.weights()
    guard let bias = layer.parameter(1) else { return layer.make("Gather", [weights, indices], ["axis": .int(0)]) }
    layer.make("Add", [layer.step("Gather", [weights, indices], ["axis": .int(0)]), bias])
  }
}

extension Scale: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.scaleParam
    let isLearned = layer.bottoms.count == 1
    let small = isLearned ? layer.parameters[0].definition.shape : layer.bottoms[1].shape
    let dims = try layer.repeated(small, axis: Int(param.axis))
    let factor = isLearned ? try layer.weights(dims: dims) : try layer.repeated(layer.bottoms[1], as: dims)
    guard param.biasTerm, let bias = layer.parameter(isLearned ? 1 : 0, dims: dims) else {
      return layer.make("Mul", [layer.bottom.name, factor])
    }
    layer.make("Add", [layer.step("Mul", [layer.bottom.name, factor]), bias])
  }
}

extension Bias: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let isLearned = layer.bottoms.count == 1
    let small = isLearned ? layer.parameters[0].definition.shape : layer.bottoms[1].shape
    let dims = try layer.repeated(small, axis: Int(layer.fields.parameter.biasParam.axis))
    let term = isLearned ? try layer.weights(dims: dims) : try layer.repeated(layer.bottoms[1], as: dims)
    layer.make("Add", [layer.bottom.name, term])
  }
}

extension Eltwise: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.eltwiseParam
    let names = layer.bottoms.map(\.name)
    switch param.operation {
    case .sum:
      let terms = names.enumerated().map { index, name in
        let factor = index < param.coeff.count ? param.coeff[index] : 1
        return factor == 1 ? name : layer.step("Mul", [name, layer.number(factor)])
      }
      layer.make("Sum", terms)
    case .max: layer.make("Max", names)
    case .prod:
      let last = names.count - 1
      let product = names[1..<last].reduce(names[0]) { layer.step("Mul", [$0, $1]) }
      layer.make("Mul", [product, names[last]])
    }
  }
}

extension Axpy: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let shape = layer.bottoms[1].shape
    let factors = layer.reshaped(
      layer.bottoms[0].name, to: Shape(shape.dims.enumerated().map { $0 < 2 ? $1 : 1 }))
    layer.make("Add", [layer.step("Mul", [factors, layer.bottoms[1].name]), layer.bottoms[2].name])
  }
}

extension ChannelScale: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    var dims = layer.bottom.shape.dims
    dims[1] = 1
    layer.make("Mul", [layer.bottom.name, layer.reshaped(layer.bottoms[1].name, to: Shape(dims))])
  }
}

extension LayerTranslation {
  /// ONNX's number of the type.
  static let int64 = 7
  static let float = 1

  /// The extents of a small blob that stands at `axis` of the bottom, with ones behind: what broadcasting wants.
  func repeated(_ small: Shape, axis: Int) throws -> [Int] {
    guard small.rank > 0 else { return [] }
    let start = try bottom.shape.canonicalAxis(axis)
    return small.dims + [Int](repeating: 1, count: bottom.shape.rank - start - small.rank)
  }

  /// A second bottom in that shape.
  func repeated(_ small: Value, as dims: [Int]) throws -> String {
    small.shape.dims == dims ? small.name : reshaped(small.name, to: Shape(dims))
  }
}
