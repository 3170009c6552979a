import CaffeSchema
import Layers
import Nets
import Tensors

extension Concat: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.concatParam
    let axis = try layer.bottom.shape.canonicalAxis(param.hasConcatDim ? Int(param.concatDim) : Int(param.axis))
    layer.make("Concat", layer.bottoms.map(\.name), ["axis": .int(axis)])
  }
}

extension Slice: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.sliceParam
    let axis = try layer.bottom.shape.canonicalAxis(param.hasSliceDim ? Int(param.sliceDim) : Int(param.axis))
    layer.graph.add(
      "Split", name: layer.graph.unusedName("\(layer.name):Split"),
      [layer.bottom.name, layer.integers(layer.tops.map { $0.shape[axis] })], ["axis": .int(axis)],
      to: layer.tops.map(\.name))
  }
}

extension Split: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    for top in layer.tops { layer.make(top, "Identity", [layer.bottom.name]) }
  }
}

extension ParameterLayer: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws { layer.make("Identity", [try layer.weights()]) }
}

extension Silence: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {}
}

extension Flatten: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws { layer.viewed() }
}

extension Reshape: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws { layer.viewed() }
}

extension Squeeze: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws { layer.viewed() }
}

extension Permute: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let named = layer.fields.parameter.permuteParam.order.map(Int.init)
    let order = named + (0..<layer.bottom.shape.rank).filter { !named.contains($0) }
    layer.make("Transpose", [layer.bottom.name], ["perm": .ints(order)])
  }
}

extension Transpose: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    layer.make(
      "Transpose", [layer.bottom.name], ["perm": .ints(layer.fields.parameter.transposeParam.dim.map(Int.init))])
  }
}

extension ShuffleChannel: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let shape = layer.bottom.shape
    let groups = Int(layer.fields.parameter.shuffleChannelParam.group)
    layer.rearranged([shape[0], groups, shape[1] / groups, shape.count(2...)], [0, 2, 1, 3])
  }
}

extension Reorg: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let shape = layer.bottom.shape
    let stride = Int(layer.fields.parameter.reorgParam.stride)
    let depth = shape[1] / (stride * stride)
    if layer.fields.parameter.reorgParam.reverse {
      layer.rearranged([shape[0], stride, stride, depth, shape[2], shape[3]], [0, 3, 4, 1, 5, 2])
    } else {
      layer.rearranged([shape[0], depth, shape[2], stride, shape[3], stride], [0, 3, 5, 1, 2, 4])
    }
  }
}

extension Tiling: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let shape = layer.bottom.shape
    let side = Int(layer.fields.parameter.tilingParam.tileDim)
    layer.rearranged([shape[0] * shape[1] / (side * side), side, side, shape[2], shape[3]], [0, 3, 1, 4, 2])
  }
}

extension Flip: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.flipParam
    layer.reversed([param.flipWidth ? 3 : nil, param.flipHeight ? 2 : nil].compactMap { $0 })
  }
}

extension Reverse: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let given = layer.fields.parameter.reverseParam.axis.map(Int.init)
    layer.reversed(try (given.isEmpty ? [0] : given).map { try layer.bottom.shape.canonicalAxis($0) })
  }
}

extension Tile: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.tileParam
    var repeats = layer.bottom.shape.dims.map { _ in 1 }
    repeats[try layer.bottom.shape.canonicalAxis(Int(param.axis))] = Int(param.tiles)
    layer.make("Tile", [layer.bottom.name, layer.integers(repeats)])
  }
}

extension Crop: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.cropParam
    let start = try layer.bottom.shape.canonicalAxis(Int(param.axis))
    let axes = Array(start..<layer.bottom.shape.rank)
    let offsets = axes.indices.map { index in
      param.offset.isEmpty ? 0 : Int(param.offset[param.offset.count == 1 ? 0 : index])
    }
    layer.cut(offsets, zip(offsets, axes).map { $0 + layer.top.shape[$1] }, axes)
  }
}

extension Interp: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    let param = layer.fields.parameter.interpParam
    let shape = layer.bottom.shape
    let (start, end) = (-Int(param.padBeg), -Int(param.padEnd))
    let planes = [shape[2] - start - end, shape[3] - start - end]
    let cut =
      start == 0 && end == 0
      ? layer.bottom.name
      : layer.step(
        "Slice",
        [
          layer.bottom.name, layer.integers([start, start]), layer.integers([start + planes[0], start + planes[1]]),
          layer.integers([2, 3]),
        ])
    // The size is input times scale, rounded down; only the sizes themselves enter into the interpolation.
    let scales = [1, 1] + (0..<2).map { (Float(layer.top.shape[2 + $0]) + 0.5) / Float(planes[$0]) }
    layer.make(
      "Resize", [cut, "", layer.numbers(scales, dims: [4])],
      ["mode": .text("linear"), "coordinate_transformation_mode": .text("align_corners")])
  }
}

extension Upsample: ONNXLayer {
  func translate(_ layer: LayerTranslation) throws {
    guard layer.bottoms.count == 1 else {
      throw layer.refusal("the positions of maxima have another meaning there", at: "bottom[1]")
    }
    let param = layer.fields.parameter.upsampleParam
    let factor = param.hasScale ? Float(param.scale) : 1
    layer.make(
      "Resize", [layer.bottom.name, "", layer.numbers([1, 1, factor, factor], dims: [4])],
      [
        "mode": .text("nearest"), "coordinate_transformation_mode": .text("asymmetric"),
        "nearest_mode": .text("floor"),
      ])
  }
}

extension LayerTranslation {
  /// The same values in the top's shape.
  fileprivate func viewed() { _ = reshaped(bottom.name, to: top.shape, as: top) }

  /// The values seen in another shape, its axes put in another order, and seen in the top's shape.
  fileprivate func rearranged(_ extents: [Int], _ order: [Int]) {
    let turned = step("Transpose", [reshaped(bottom.name, to: Shape(extents))], ["perm": .ints(order)])
    _ = reshaped(turned, to: top.shape, as: top)
  }

  fileprivate func cut(_ starts: [Int], _ ends: [Int], _ axes: [Int]) {
    make("Slice", [bottom.name, integers(starts), integers(ends), integers(axes)])
  }

  /// Back to front.
  fileprivate func reversed(_ axes: [Int]) {
    guard !axes.isEmpty else { return make("Identity", [bottom.name]) }
    let inputs = [axes.map { _ in -1 }, axes.map { _ in Int(Int32.min) }, axes, axes.map { _ in -1 }]
    make("Slice", [bottom.name] + inputs.map(integers))
  }
}
