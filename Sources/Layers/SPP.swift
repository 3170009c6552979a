import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Spatial pyramid pooling (He, Zhang, Ren, Sun, ECCV 2014): level l pools the whole plane into about 2^l x 2^l windows,
/// and the levels are laid side by side.
///
/// Bottom N x C x H x W. A level's kernel and stride are the extent over 2^l, rounded up; what is missing is padding.
/// Top N x (C times the windows of all levels), or N x C x 1 x 1 when `pyramid_height` is 1.
package struct SPP: Layer {
  package static let type = "SPP"
  package static let parameterFields: [String]? = ["spp_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: SPPParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.sppParam
    guard (1...20).contains(param.pyramidHeight) else {
      throw fields.fault(
        "pyramid_height, the number of levels, must be 1 or more; it is \(param.pyramidHeight)",
        at: "spp_param.pyramid_height")
    }
  }

  private func levels(_ bottom: Shape) throws -> [PoolingDescription] {
    guard bottom.rank == 4, bottom[2] > 0, bottom[3] > 0 else {
      throw fields.fault(.badShape, "needs a bottom of 4 axes (N x C x H x W), but it is \(bottom)")
    }
    let extents = [bottom[2], bottom[3]]
    return try (0..<Int(param.pyramidHeight)).map { level in
      let bins = 1 << level
      let kernel = extents.map { ($0 + bins - 1) / bins }
      let pad = zip(kernel, extents).map { ($0 * bins - $1 + 1) / 2 }
      guard zip(pad, kernel).allSatisfy({ $0 < $1 }), param.pool != .stochastic || pad == [0, 0] else {
        throw fields.fault(
          .badShape,
          "level \(level) cuts the plane \(Shape(extents)) into \(bins)x\(bins) windows, "
            + "which leaves windows of padding alone; lower pyramid_height",
          at: "spp_param.pyramid_height")
      }
      return PoolingDescription(
        method: param.pool == .max ? .max : .average, batch: bottom[0], channels: bottom[1], bottomExtents: extents,
        topExtents: Pooling.topExtents(extents, kernel: kernel, stride: kernel, pad: pad, mode: .ceil),
        kernel: kernel, stride: kernel, pad: pad)
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let levels = try levels(bottoms[0])
    let width = levels.map { $0.topShape.count(1...) }.reduce(0, +)
    return LayerShapes(tops: [levels.count == 1 ? levels[0].topShape : [bottoms[0][0], width]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let ops: [any PoolingOp] = try levels(binding.bottomShapes[0]).map {
      var level = $0
      level.bottomGradient = binding.wantsGradient(0)
      return param.pool == .stochastic
        ? StochasticPooling(level, binding) : try binding.engine.pooling(level, bottom: .plain)
    }
    guard ops.allSatisfy({ $0.bottomLayout.isPlain && $0.topLayout.isPlain }) else {
      preconditionFailure("pooling of a plain blob is plain")
    }
    let bottom = binding.bottom(0)
    let top = binding.top(0)
    binding.backwardReads()
    let widths = try levels(binding.bottomShapes[0]).map { $0.topShape.count(1...) }
    return Run(
      binding.engine, bottom, top,
      zip(ops, widths).map {
        Level(
          op: $0, width: $1, workspace: binding.workspace($0.workspaceByteCount),
          scratch: binding.scratch($0.scratchByteCount))
      },
      pooled: binding.scratch(top.count * MemoryLayout<Float>.stride),
      gradient: binding.scratch(ops.count > 1 ? bottom.count * MemoryLayout<Float>.stride : 0))
  }

  private struct Level {
    let op: any PoolingOp
    /// Values of a record.
    let width: Int
    let workspace: Region
    let scratch: Region
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let levels: [Level]
    /// One level's top, or its gradient.
    private let pooled: Region
    /// One level's gradient of the bottom.
    private let gradient: Region

    init(_ engine: any Engine, _ bottom: Blob, _ top: Blob, _ levels: [Level], pooled: Region, gradient: Region) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.levels = levels
      self.pooled = pooled
      self.gradient = gradient
    }

    private var batch: Int { bottom.shape[0] }
    private var width: Int { top.count / max(1, batch) }

    func forward() {
      let part = pooled.pointer.assumingMemoryBound(to: Float.self)
      var start = 0
      for level in levels {
        level.op.forward(
          bottom: bottom.data, top: part, mask: nil, workspace: level.workspace.pointer, scratch: level.scratch.pointer)
        for n in 0..<batch {
          (top.values + n * width + start).update(from: part + n * level.width, count: level.width)
        }
        start += level.width
      }
    }

    func backward() {
      let part = pooled.pointer.assumingMemoryBound(to: Float.self)
      let sum = bottom.gradients
      var start = 0
      for (index, level) in levels.enumerated() {
        for n in 0..<batch {
          (part + n * level.width).update(from: top.gradients + n * width + start, count: level.width)
        }
        start += level.width
        let target = index == 0 ? sum : gradient.pointer.assumingMemoryBound(to: Float.self)
        level.op.backward(
          topGradient: part, bottomGradient: target, workspace: level.workspace.pointer, scratch: level.scratch.pointer)
        if index > 0 { engine.vectors.axpby(bottom.count, 1, target, 1, sum) }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("three levels", [2, 3, 9, 9], "pyramid_height: 3 pool: MAX"),
    example("one level", [2, 2, 4, 5], "pyramid_height: 1 pool: AVE"),
    example("average", [1, 3, 8, 8], "pyramid_height: 3 pool: AVE"),
  ]

  private static func example(_ name: String, _ shape: Shape, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.distinct(shape)],
      #"layer { name: "s" type: "SPP" bottom: "in0" top: "s" spp_param { \#(param) } }"#)
  }
}
