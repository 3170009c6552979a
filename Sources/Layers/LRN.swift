import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// Local response normalisation (Krizhevsky, Sutskever, Hinton, NIPS 2012).
///
/// top = bottom / (k + alpha / n * sum of squares)^beta over `local_size` neighbouring channels; with
/// `norm_region: WITHIN_CHANNEL` the mean of squares over a square of that side in the same plane, k being 1:
/// top = bottom / (1 + alpha * mean of squares)^beta.
package struct LRN: Layer {
  package static let type = "LRN"
  package static let parameterFields: [String]? = ["lrn_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: LRNParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.lrnParam
    try fields.refuse(param.fuseType != .unfused, "lrn_param.fuse_type", "put a Pooling layer behind")
    guard param.localSize % 2 == 1 else {
      throw fields.fault(
        "local_size must be odd, so that the window has a centre; it is \(param.localSize)", at: "lrn_param.local_size")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank == 4 else {
      throw fields.fault(.badShape, "needs a bottom of 4 axes (N x C x H x W), but it is \(bottoms[0])")
    }
    return LayerShapes(tops: bottoms)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    param.normRegion == .withinChannel ? try bindWithin(binding) : try bindAcross(binding)
  }

  private func bindAcross(_ binding: LayerBinding) throws -> any LayerRun {
    let op = try binding.engine.localResponse(
      LocalResponseDescription(
        shape: binding.bottomShapes[0], size: Int(param.localSize), alpha: param.alpha, beta: param.beta, k: param.k,
        bottomGradient: binding.wantsGradient(0)),
      bottom: binding.bottomLayout(0))
    return AcrossRun(
      op, binding.bottom(0, in: op.layout), binding.top(0, in: op.layout),
      workspace: binding.workspace(op.workspaceByteCount), scratch: binding.scratch(op.scratchByteCount))
  }

  private func bindWithin(_ binding: LayerBinding) throws -> any LayerRun {
    let shape = binding.bottomShapes[0]
    let size = Int(param.localSize)
    let extents = [shape[2], shape[3]]
    let pool = try binding.engine.pooling(
      PoolingDescription(
        method: .average, batch: shape[0], channels: shape[1], bottomExtents: extents, topExtents: extents,
        kernel: [size, size], stride: [1, 1], pad: [size / 2, size / 2], bottomGradient: binding.wantsGradient(0)),
      bottom: .plain)
    guard pool.bottomLayout.isPlain, pool.topLayout.isPlain else {
      preconditionFailure("pooling of a plain blob is plain")
    }
    let bytes = shape.count * MemoryLayout<Float>.stride
    let bottom = binding.bottom(0)
    binding.backwardReads(bottoms: [bottom])
    return WithinRun(
      binding.engine, pool, bottom, binding.top(0), alpha: param.alpha, beta: param.beta,
      scale: binding.workspace(bytes), poolWorkspace: binding.workspace(pool.workspaceByteCount),
      scratch: binding.scratch(2 * bytes), poolScratch: binding.scratch(pool.scratchByteCount))
  }

  private final class AcrossRun: DescribedRun {
    private let op: any LocalResponseOp
    private let bottom: Blob
    private let top: Blob
    private let workspace: Region
    private let scratch: Region

    init(_ op: any LocalResponseOp, _ bottom: Blob, _ top: Blob, workspace: Region, scratch: Region) {
      self.op = op
      self.bottom = bottom
      self.top = top
      self.workspace = workspace
      self.scratch = scratch
    }

    var implementation: String { op.implementation }

    func forward() {
      op.forward(bottom: bottom.data, top: top.data, workspace: workspace.pointer, scratch: scratch.pointer)
    }

    func backward() {
      op.backward(
        bottom: bottom.data, top: top.data, topGradient: top.gradient, bottomGradient: bottom.gradient,
        workspace: workspace.pointer, scratch: scratch.pointer)
    }
  }

  /// scale s = 1 + alpha * pool(x^2), top = x s^-beta.
  private final class WithinRun: LayerRun {
    private let engine: any Engine
    private let pool: any PoolingOp
    private let bottom: Blob
    private let top: Blob
    private let alpha: Float
    private let beta: Float
    private let scale: Region
    private let poolWorkspace: Region
    private let scratch: Region
    private let poolScratch: Region

    init(
      _ engine: any Engine, _ pool: any PoolingOp, _ bottom: Blob, _ top: Blob, alpha: Float, beta: Float,
      scale: Region, poolWorkspace: Region, scratch: Region, poolScratch: Region
    ) {
      self.engine = engine
      self.pool = pool
      self.bottom = bottom
      self.top = top
      self.alpha = alpha
      self.beta = beta
      self.scale = scale
      self.poolWorkspace = poolWorkspace
      self.scratch = scratch
      self.poolScratch = poolScratch
    }

    func forward() {
      let count = bottom.count
      let x = bottom.values
      let y = top.values
      let s = scale.pointer.assumingMemoryBound(to: Float.self)
      let squares = scratch.pointer.assumingMemoryBound(to: Float.self)
      engine.vectors.multiply(count, x, x, squares)
      pool.forward(
        bottom: squares, top: s, mask: nil, workspace: poolWorkspace.pointer, scratch: poolScratch.pointer)
      engine.parallel(count, grain: 1024) { [alpha, beta] from, to in
        for i in from..<to {
          s[i] = 1 + alpha * s[i]
          y[i] = x[i] * powf(s[i], -beta)
        }
      }
    }

    /// dx = dy s^-beta + 2 x pool'(-alpha beta dy x s^(-beta - 1)).
    func backward() {
      let count = bottom.count
      let x = bottom.values
      let dy = top.gradients
      let dx = bottom.gradients
      let s = scale.pointer.assumingMemoryBound(to: Float.self)
      let inner = scratch.pointer.assumingMemoryBound(to: Float.self)
      let spread = inner + count
      engine.parallel(count, grain: 1024) { [alpha, beta] from, to in
        for i in from..<to { inner[i] = -alpha * beta * dy[i] * x[i] * powf(s[i], -beta - 1) }
      }
      pool.backward(
        topGradient: inner, bottomGradient: spread, workspace: poolWorkspace.pointer, scratch: poolScratch.pointer)
      engine.parallel(count, grain: 1024) { [beta] from, to in
        for i in from..<to { dx[i] = dy[i] * powf(s[i], -beta) + 2 * x[i] * spread[i] }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "across channels", inputs: [.normal([2, 7, 3, 3])],
      """
      layer { name: "norm" type: "LRN" bottom: "in0" top: "norm" lrn_param { local_size: 5 alpha: 0.5 beta: 0.75 } }
      """),
    LayerExample(
      "across channels, k 2", inputs: [.normal([1, 16, 4, 4])],
      """
      layer { name: "norm" type: "LRN" bottom: "in0" top: "norm"
        lrn_param { local_size: 3 alpha: 1 beta: 0.5 k: 2 } }
      """),
    LayerExample(
      "within a channel", inputs: [.normal([2, 3, 5, 5])],
      """
      layer { name: "norm" type: "LRN" bottom: "in0" top: "norm"
        lrn_param { local_size: 3 alpha: 2 beta: 0.75 norm_region: WITHIN_CHANNEL } }
      """),
  ]
}
