import Compute
import Tensors

extension OpRun {
  /// Makes the op, its blobs and the bodies of its passes.
  func bind(offered: [Layout]) throws {
    switch opCase.operation {
    case .convolution(let description): try bind(description)
    case .innerProduct(let description): try bind(description)
    case .pooling(let description): try bind(description, offered[0])
    case .rectifier(let description): try bind(description, offered[0])
    case .localResponse(let description): try bind(description, offered[0])
    case .batchNorm(let description): try bind(description, offered[0])
    case .sum(let description): try bind(description, offered[0])
    case .concat(let description): try bind(description, offered)
    case .softmax(let description): try bind(description)
    case .product(let description): try bind(description)
    }
  }

  private func bind(_ description: ConvolutionDescription) throws {
    guard let weights else { return }
    let op = try engine.convolution(description)
    implementation = op.implementation
    try makeBlobs(
      bottoms: [op.bottomLayout] + (description.hasAddend ? [op.topLayout] : []), top: op.topLayout,
      hasGradients: description.bottomGradient)
    let scratch = makeBuffer(op.scratchByteCount)
    let (bottom, top, bias) = (bottoms[0].blob, top.blob, bias)
    let addend = description.hasAddend ? bottoms[1].blob : nil
    setBody(.forward) {
      op.forward(
        bottom: bottom.data, weights: weights, bias: bias, addend: addend.map { UnsafeRawPointer($0.data) },
        top: top.data, scratch: scratch)
    }
    if description.bottomGradient {
      setBody(.backwardData) {
        op.backwardData(
          topGradient: top.gradient, weights: weights, bottomGradient: bottom.gradient, scratch: scratch)
      }
    }
    if description.learns {
      setBody(.backwardParameters) {
        op.backwardParameters(
          bottom: bottom.data, topGradient: top.gradient, weights: weights, bias: bias, scratch: scratch)
      }
    }
  }

  private func bind(_ description: InnerProductDescription) throws {
    guard let weights else { return }
    let op = try engine.innerProduct(description)
    implementation = op.implementation
    try makeBlobs(bottoms: [op.bottomLayout], top: .plain, hasGradients: description.bottomGradient)
    let scratch = makeBuffer(op.scratchByteCount)
    let (bottom, top, bias) = (bottoms[0].blob, top.blob, bias)
    setBody(.forward) {
      op.forward(bottom: bottom.data, weights: weights, bias: bias, top: top.values, scratch: scratch)
    }
    if description.bottomGradient {
      setBody(.backwardData) {
        op.backwardData(
          topGradient: top.gradients, weights: weights, bottomGradient: bottom.gradient, scratch: scratch)
      }
    }
    if description.learns {
      setBody(.backwardParameters) {
        op.backwardParameters(
          bottom: bottom.data, topGradient: top.gradients, weights: weights, bias: bias, scratch: scratch)
      }
    }
  }

  private func bind(_ description: PoolingDescription, _ offered: Layout) throws {
    let op = try engine.pooling(description, bottom: offered)
    implementation = op.implementation
    try makeBlobs(bottoms: [op.bottomLayout], top: op.topLayout, hasGradients: description.bottomGradient)
    mask = description.wantsMask ? try makePlainBlob("mask", description.topShape) : nil
    let workspace = makeBuffer(op.workspaceByteCount)
    let scratch = makeBuffer(op.scratchByteCount)
    let (bottom, top, mask) = (bottoms[0].blob, top.blob, mask?.blob)
    setBody(.forward) {
      op.forward(bottom: bottom.data, top: top.data, mask: mask?.values, workspace: workspace, scratch: scratch)
    }
    if description.bottomGradient {
      setBody(.backwardData) {
        op.backward(
          topGradient: top.gradient, bottomGradient: bottom.gradient, workspace: workspace, scratch: scratch)
      }
    }
  }

  private func bind(_ description: RectifierDescription, _ offered: Layout) throws {
    let op = try engine.rectifier(description, layout: offered)
    implementation = op.implementation
    try makeBlobs(bottoms: [op.layout], top: op.layout, hasGradients: true)
    let (bottom, top) = (bottoms[0].blob, top.blob)
    setBody(.forward) { op.forward(bottom: bottom.data, top: top.data) }
    setBody(.backwardData) {
      op.backward(reference: bottom.data, topGradient: top.gradient, bottomGradient: bottom.gradient)
    }
  }

  private func bind(_ description: LocalResponseDescription, _ offered: Layout) throws {
    let op = try engine.localResponse(description, bottom: offered)
    implementation = op.implementation
    try makeBlobs(bottoms: [op.layout], top: op.layout, hasGradients: description.bottomGradient)
    let workspace = makeBuffer(op.workspaceByteCount)
    let scratch = makeBuffer(op.scratchByteCount)
    let (bottom, top) = (bottoms[0].blob, top.blob)
    setBody(.forward) {
      op.forward(bottom: bottom.data, top: top.data, workspace: workspace, scratch: scratch)
    }
    if description.bottomGradient {
      setBody(.backwardData) {
        op.backward(
          bottom: bottom.data, top: top.data, topGradient: top.gradient, bottomGradient: bottom.gradient,
          workspace: workspace, scratch: scratch)
      }
    }
  }

  private func bind(_ description: BatchNormDescription, _ offered: Layout) throws {
    let op = try engine.batchNorm(description, bottom: offered)
    implementation = op.implementation
    try makeBlobs(bottoms: [op.layout], top: op.layout, hasGradients: description.bottomGradient)
    let loaded = (
      mean: try makePlainBlob("mean", [description.shape[1]]),
      variance: try makePlainBlob("variance", [description.shape[1]])
    )
    if description.statistics != .none { (mean, variance) = (loaded.mean, loaded.variance) }
    let (bottom, top, mean, variance) = (bottoms[0].blob, top.blob, loaded.mean.blob, loaded.variance.blob)
    let (scale, shift) = (weights, bias)
    setBody(.forward) {
      op.forward(
        bottom: bottom.data, mean: mean.values, variance: variance.values, scale: scale, shift: shift, top: top.data)
    }
    // One function does both passes: each is asked for its part alone.
    let frozen = [scale, shift].map { $0.map { Parameter(shape: $0.shape, learningRateMultiplier: 0) } }
    if description.bottomGradient {
      setBody(.backwardData) {
        for case let (copy?, original?) in zip(frozen, [scale, shift]) {
          copy.values.update(from: original.values, count: original.count)
        }
        op.backward(
          bottom: bottom.data, mean: mean.values, variance: variance.values, scale: frozen[0], shift: frozen[1],
          topGradient: top.gradient, bottomGradient: bottom.gradient)
      }
    }
    guard scale != nil || shift != nil else { return }
    setBody(.backwardParameters) {
      op.backward(
        bottom: bottom.data, mean: mean.values, variance: variance.values, scale: scale, shift: shift,
        topGradient: top.gradient, bottomGradient: nil)
    }
  }

  private func bind(_ description: SumDescription, _ offered: Layout) throws {
    let op = try engine.sum(description, bottom: offered)
    implementation = op.implementation
    try makeBlobs(bottoms: description.coefficients.map { _ in op.layout }, top: op.layout, hasGradients: false)
    let (pointers, top) = (bottoms.map(\.blob.data), top.blob)
    setBody(.forward) { op.forward(bottoms: pointers, top: top.data) }
  }

  private func bind(_ description: ConcatDescription, _ offered: [Layout]) throws {
    let op = try engine.concat(description, bottoms: offered)
    implementation = op.implementation
    try makeBlobs(bottoms: op.bottomLayouts, top: op.topLayout, hasGradients: true)
    let (bottoms, top) = (bottoms.map(\.blob), top.blob)
    let pointers = bottoms.map(\.data)
    setBody(.forward) { op.forward(bottoms: pointers, top: top.data) }
    setBody(.backwardData) {
      for (index, bottom) in bottoms.enumerated() {
        op.backward(topGradient: top.gradient, index: index, bottomGradient: bottom.gradient)
      }
    }
  }

  private func bind(_ description: SoftmaxDescription) throws {
    let op = try engine.softmax(description)
    implementation = op.implementation
    try makeBlobs(bottoms: [.plain], top: .plain, hasGradients: true)
    let (bottom, top) = (bottoms[0].blob, top.blob)
    setBody(.forward) { op.forward(bottom: bottom.values, top: top.values) }
    setBody(.backwardData) {
      op.backward(top: top.values, topGradient: top.gradients, bottomGradient: bottom.gradients)
    }
  }

  private func bind(_ product: MatrixProduct) throws {
    let engine = engine
    implementation = engine.name
    try makeBlobs(bottoms: [.plain, .plain], top: .plain, hasGradients: false)
    let (a, b, c) = (bottoms[0].blob, bottoms[1].blob, top.blob)
    setBody(.forward) { engine.multiply(product, a.values, b.values, c.values) }
  }
}
