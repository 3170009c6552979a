import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Convolution (as a cross-correlation, like all of its kind) over 1 to 3 spatial axes.
///
/// Bottom N x C x H x W, top N x num_output x H' x W' with H' = (H + 2 pad - dilation (kernel - 1) - 1) / stride + 1,
/// rounded down. Weights num_output x C/group x kernel, bias num_output. Several bottoms of one shape get a top each
/// and share the weights. `axis` is the channel axis; axes before it count as the batch. Of a fork: `pad_l`, `pad_r`,
/// `pad_t` and `pad_b` pad each side of two axes by itself.
package struct Convolution: AbsorbingLayer, ConvolutionLayer {
  package static let type = "Convolution"
  package static let parameterFields: [String]? = ["convolution_param"]
  package static let bottomCount = 1...Int.max
  package static let topCount = 1...Int.max

  private let convolution: ConvolutionFields

  package init(_ fields: LayerFields) throws {
    convolution = try ConvolutionFields(fields, isTransposed: false)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { try convolution.shapes(of: bottoms) }

  package func multiplyAdds(of bottoms: [Shape]) throws -> Int { try convolution.multiplyAdds(of: bottoms) }

  package func description(of bottoms: [Shape]) throws -> ConvolutionDescription {
    try convolution.description(of: bottoms)
  }

  package func absorbs(_ followers: [FollowingLayer]) -> Int {
    convolution.channelsFirst ? ConvolutionTail(followers).count : 0
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    convolution.rowwise(bottoms, along: axis)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { try convolution.bind(binding) }

  package static let examples: [LayerExample] = [
    example("3x3 with padding", [2, 3, 5, 6], "num_output: 4 kernel_size: 3 pad: 1"),
    example("stride 2 in groups", [2, 4, 7, 7], "num_output: 6 kernel_size: 3 stride: 2 group: 2"),
    example("dilated, rectangular", [1, 2, 8, 9], "num_output: 3 kernel_h: 3 kernel_w: 2 dilation: 2"),
    example("sides padded unequally", [2, 2, 5, 6], "num_output: 3 kernel_size: 3 stride: 2 pad_r: 1 pad_b: 1"),
    example(
      "rectangular, padded", [1, 2, 5, 6],
      "num_output: 3 kernel_h: 3 kernel_w: 2 pad_h: 2 pad_w: 1 stride_h: 1 stride_w: 2"),
    example("padded left and above", [1, 2, 5, 6], "num_output: 3 kernel_size: 3 stride: 2 pad_l: 1 pad_t: 1"),
    example(
      "three axes, by shapes", [1, 2, 3, 4, 5],
      "num_output: 2 kernel_shape { dim: 2 dim: 3 dim: 3 } stride_shape { dim: 1 dim: 2 dim: 2 } "
        + "pad_shape { dim: 0 dim: 1 dim: 1 }"),
    example("1x1 without bias", [2, 3, 4, 4], "num_output: 5 kernel_size: 1 bias_term: false"),
    example("depthwise", [2, 4, 6, 6], "num_output: 4 kernel_size: 3 pad: 1 group: 4"),
    example("a window that overhangs the input", [2, 2, 3, 2], "num_output: 3 kernel_h: 3 kernel_w: 4 stride: 3"),
    example("channels on axis 2", [2, 3, 2, 4, 5], "num_output: 3 kernel_size: 3 axis: 2"),
    example("batch of one, 16 channels", [1, 16, 6, 6], "num_output: 16 kernel_size: 3 pad: 1"),
  ]

  private static func example(_ name: String, _ shape: Shape, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal(shape)],
      """
      layer { name: "conv" type: "Convolution" bottom: "in0" top: "conv" convolution_param { \(param)
        weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 } } }
      """)
  }
}

/// A convolution or deconvolution under whatever name, for those who want to know what it computes.
package protocol ConvolutionLayer: Layer {
  /// Bottoms of one shape, all axes before the channels' taken as the batch.
  func description(of bottoms: [Shape]) throws -> ConvolutionDescription
}

/// What Convolution and Deconvolution have in common: the fields, the shape rule in both directions, the run.
struct ConvolutionFields: Sendable {
  private let fields: LayerFields
  private let window: WindowFields
  private let topChannels: Int
  private let groups: Int
  private let hasBias: Bool
  private let isTransposed: Bool

  init(_ fields: LayerFields, isTransposed: Bool) throws {
    let param = fields.parameter.convolutionParam
    self.fields = fields
    self.isTransposed = isTransposed
    window = try WindowFields(fields)
    try window.refuseForks(isTransposed: isTransposed)
    topChannels = Int(param.numOutput)
    groups = Int(param.group)
    hasBias = param.biasTerm
    guard fields.parameter.top.count == fields.parameter.bottom.count else {
      let isFork = fields.parameter.bottom.count == 2 && fields.parameter.top.count == 1
      throw fields.fault(
        isFork ? .unsupported : .badParameter,
        "needs as many tops as bottoms: \(fields.parameter.bottom.count) bottoms, \(fields.parameter.top.count) tops",
        at: "top[0]")
    }
    guard topChannels > 0 else {
      throw fields.fault("num_output must be at least 1", at: "convolution_param.num_output")
    }
    guard groups > 0, topChannels % groups == 0 else {
      throw fields.fault(
        "num_output \(topChannels) is not a multiple of group \(groups)", at: "convolution_param.group")
    }
  }

  func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let description = try description(of: bottoms)
    let axis = try bottoms[0].canonicalAxis(Int(fields.parameter.convolutionParam.axis))
    let top = Shape(Array(bottoms[0].dims[..<axis]) + [topChannels] + description.topExtents)
    let param = fields.parameter.convolutionParam
    var parameters = [
      ParameterDefinition(name: "weights", shape: description.weightShape, filler: param.weightFiller)
    ]
    if hasBias { parameters.append(.init(name: "bias", shape: [topChannels], filler: param.biasFiller)) }
    return LayerShapes(tops: bottoms.map { _ in top }, parameters: parameters)
  }

  func multiplyAdds(of bottoms: [Shape]) throws -> Int { try description(of: bottoms).multiplyAdds * bottoms.count }

  /// The axes before the channels' are the batch.
  func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    let channels = try? bottoms[0].canonicalAxis(Int(fields.parameter.convolutionParam.axis))
    return channels.map { axis < $0 } == true ? .all : nil
  }

  func description(of bottoms: [Shape]) throws -> ConvolutionDescription {
    let bottom = bottoms[0]
    if let other = bottoms.first(where: { $0 != bottom }) {
      throw fields.fault(
        .badShape, "all bottoms share the weights and must have one shape; they are \(bottom) and \(other)")
    }
    let axis = try bottom.canonicalAxis(Int(fields.parameter.convolutionParam.axis))
    let extents = Array(bottom.dims[(axis + 1)...])
    guard (1...3).contains(extents.count) else {
      throw fields.fault(
        .badShape, "needs 1 to 3 spatial axes behind channel axis \(axis), but the bottom is \(bottom)")
    }
    let channels = bottom[axis]
    guard channels % groups == 0 else {
      throw fields.fault(
        .badShape, "the bottom's \(channels) channels are not a multiple of group \(groups)",
        at: "convolution_param.group")
    }
    let window = try window.window(axes: extents.count)
    return ConvolutionDescription(
      batch: bottom.count(..<axis), bottomChannels: channels, topChannels: topChannels, groups: groups,
      bottomExtents: extents, topExtents: try topExtents(extents, window), kernel: window.kernel,
      stride: window.stride, padBefore: window.pad, dilation: window.dilation, hasBias: hasBias,
      isTransposed: isTransposed)
  }

  private func topExtents(_ bottom: [Int], _ window: SpatialWindow) throws -> [Int] {
    let top = bottom.indices.map { axis in
      isTransposed
        ? window.stride[axis] * (bottom[axis] - 1) + window.reach[axis] - 2 * window.pad[axis]
        // A quotient below zero is cut towards zero: a window that overhangs by less than its stride counts as one.
        : (bottom[axis] + window.pad[axis] + window.padAfter[axis] - window.reach[axis]) / window.stride[axis] + 1
    }
    guard top.allSatisfy({ $0 > 0 }) else {
      let padded = Shape(bottom.indices.map { bottom[$0] + window.pad[$0] + window.padAfter[$0] })
      throw fields.fault(
        .badShape,
        isTransposed
          ? "pad \(Shape(window.pad)) leaves nothing of the top: it would be \(top.map(String.init).joined(separator: "x"))"
          : "kernel_size \(Shape(window.reach)) is larger than its padded input \(padded)",
        at: isTransposed ? "convolution_param.pad" : "convolution_param.kernel_size")
    }
    return top
  }

  /// Whether the channels are the second axis.
  var channelsFirst: Bool { !isTransposed && fields.parameter.convolutionParam.axis == 1 }

  func bind(_ binding: LayerBinding) throws -> any LayerRun {
    var description = try description(of: binding.bottomShapes)
    let tail = ConvolutionTail(binding.followers)
    let folded =
      tail.affine.isEmpty
      ? nil : FoldedWeights(binding.parameters[0], bias: hasBias ? binding.parameters[1] : nil, tail.affine)
    if folded != nil { description.hasBias = true }
    description.hasAddend = tail.addend != nil
    description.rectifies = tail.rectifies
    description.learns = binding.runsBackward && binding.learns.contains(true)
    description.taskCount = binding.taskCount
    description.isPlain = binding.bottomShapes[0] != description.bottomShape
    description.bottomGradient = binding.bottomShapes.indices.contains { binding.wantsGradient($0) }
    let op = try binding.engine.convolution(description)
    let bottoms = binding.bottomShapes.indices.map { binding.bottom($0, in: op.bottomLayout) }
    let addend = tail.addend.map { binding.bottom($0, in: op.topLayout) }
    let tops = binding.topShapes.indices.map { binding.top($0, in: op.topLayout) }
    var rectifier: (any RectifierOp)?
    if tail.rectifies, binding.runsBackward {
      rectifier = try binding.engine.rectifier(
        RectifierDescription(shape: description.topShape), layout: op.topLayout)
      binding.backwardChangesTopGradients()
    }
    binding.backwardReads(bottoms: description.learns ? bottoms : [], tops: rectifier == nil ? [] : tops)
    return ConvolutionRun(
      op, rectifier, bottoms, addend, tops, binding.parameters, folded, learns: description.learns,
      multiplyAdds: description.multiplyAdds, scratch: binding.scratch(op.scratchByteCount))
  }
}

private final class ConvolutionRun: DescribedRun, TasksAtOnceRun {
  private let op: any ConvolutionOp
  /// Of a rectifier that is part of the op; for backward.
  private let rectifier: (any RectifierOp)?
  private let bottoms: [Blob]
  private let addend: Blob?
  private let tops: [Blob]
  private let weights: Parameter
  private let bias: Parameter?
  private let folded: FoldedWeights?
  private let learns: Bool
  private let scratch: Region
  /// Of the top, of several tasks.
  private let topGradients: PointerList
  let multiplyAdds: (forward: Int, backward: Int)

  init(
    _ op: any ConvolutionOp, _ rectifier: (any RectifierOp)?, _ bottoms: [Blob], _ addend: Blob?, _ tops: [Blob],
    _ parameters: [Parameter], _ folded: FoldedWeights?, learns: Bool, multiplyAdds: Int, scratch: Region
  ) {
    self.folded = folded
    self.op = op
    self.rectifier = rectifier
    self.bottoms = bottoms
    self.addend = addend
    self.tops = tops
    self.learns = learns
    self.multiplyAdds = (
      multiplyAdds * bottoms.count,
      bottoms.map { multiplyAdds * ((learns ? 1 : 0) + ($0.hasGradient ? 1 : 0)) }.reduce(0, +)
    )
    self.scratch = scratch
    topGradients = PointerList(op.tasksAtOnce)
    weights = parameters[0]
    bias = parameters.count > 1 ? parameters[1] : nil
  }

  var implementation: String { op.implementation }

  func forward() {
    folded?.update()
    for index in bottoms.indices {
      op.forward(
        bottom: bottoms[index].data, weights: folded?.weights ?? weights, bias: folded?.bias ?? bias,
        addend: addend.map { UnsafeRawPointer($0.data) }, top: tops[index].data, scratch: scratch.pointer)
    }
  }

  func backward() {
    for index in bottoms.indices where tops[index].hasGradient {
      rectify(index)
      if learns {
        op.backwardParameters(
          bottom: bottoms[index].data, topGradient: tops[index].gradient, weights: weights, bias: bias,
          scratch: scratch.pointer)
      }
      backwardData(index)
    }
  }

  /// The top has the sign that the sum had.
  private func rectify(_ index: Int) {
    rectifier?.backward(
      reference: tops[index].data, topGradient: tops[index].gradient, bottomGradient: tops[index].gradient)
  }

  private func backwardData(_ index: Int) {
    guard bottoms[index].hasGradient else { return }
    op.backwardData(
      topGradient: tops[index].gradient, weights: weights, bottomGradient: bottoms[index].gradient,
      scratch: scratch.pointer)
  }

  var tasksAtOnce: Int { learns && bottoms.count == 1 ? op.tasksAtOnce : 1 }

  func backwardBottoms() {
    rectify(0)
    backwardData(0)
  }

  func backwardParameters(tasks count: Int, select: (Int) -> Void) {
    for task in 0..<count {
      select(task)
      topGradients[task] = tops[0].gradient
    }
    op.backwardParameters(
      bottom: bottoms[0].data, topGradients: topGradients.base, count: count, weights: weights, bias: bias,
      scratch: scratch.pointer, select: select)
  }
}
