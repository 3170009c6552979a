import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Resizes planes by taking the nearest value above and to the left: y = x[floor(i H / H'), floor(j W / W')].
///
/// Bottom N x C x H x W. The top's planes are `height` x `width`, or H + (H - 1) (`zoom_factor` - 1), or (H - 1) /
/// `shrink_factor` + 1. Interp is the one that interpolates.
package struct NNInterp: Layer {
  package static let type = "NNInterp"
  package static let parameterFields: [String]? = ["nninterp_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: NninterpParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.nninterpParam
    let ways = [param.hasZoomFactor, param.hasShrinkFactor, param.hasHeight && param.hasWidth].count { $0 }
    guard ways == 1 else {
      throw fields.fault("give one of zoom_factor, shrink_factor, or height and width", at: "nninterp_param")
    }
    for (isGiven, value) in [
      (param.hasZoomFactor, param.zoomFactor), (param.hasShrinkFactor, param.shrinkFactor),
      (param.hasHeight, param.height), (param.hasWidth, param.width),
    ] where isGiven && value < 1 {
      throw fields.fault("sizes and factors must be at least 1", at: "nninterp_param")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bottom = bottoms[0]
    guard bottom.rank == 4, bottom.count(2...) > 0 else {
      throw fields.fault(.badShape, "needs a bottom of 4 axes (N x C x H x W), but it is \(bottom)")
    }
    let planes = (2...3).map { axis in
      if param.hasZoomFactor { return bottom[axis] + (bottom[axis] - 1) * (Int(param.zoomFactor) - 1) }
      if param.hasShrinkFactor { return (bottom[axis] - 1) / Int(param.shrinkFactor) + 1 }
      return Int(axis == 2 ? param.height : param.width)
    }
    return LayerShapes(tops: [[bottom[0], bottom[1], planes[0], planes[1]]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    binding.backwardReads()
    return Run(binding.engine, binding.bottom(0), binding.top(0))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob

    init(_ engine: any Engine, _ bottom: Blob, _ top: Blob) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
    }

    func forward() {
      forEachValue { [bottom, top] from, to in top.values[to] = bottom.values[from] }
    }

    func backward() {
      bottom.gradients.update(repeating: 0, count: bottom.count)
      forEachValue { [bottom, top] from, to in bottom.gradients[from] += top.gradients[to] }
    }

    /// Calls `body` with the index of each value of the top, and with that of the bottom that it comes from.
    @inline(__always)
    private func forEachValue(_ body: (_ from: Int, _ to: Int) -> Void) {
      let (height, width) = (bottom.shape[2], bottom.shape[3])
      let (topHeight, topWidth) = (top.shape[2], top.shape[3])
      engine.parallel(bottom.shape.count(..<2), grain: max(1, 4096 / (topHeight * topWidth))) { start, end in
        for plane in start..<end {
          for y in 0..<topHeight {
            let row = (plane * height + y * height / topHeight) * width
            let target = (plane * topHeight + y) * topWidth
            for x in 0..<topWidth { body(row + x * width / topWidth, target + x) }
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("to a size", "height: 7 width: 5"), example("zoom", "zoom_factor: 2"),
    example("shrink", "shrink_factor: 2"),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([2, 2, 4, 6])],
      #"layer { name: "i" type: "NNInterp" bottom: "in0" top: "i" nninterp_param { \#(param) } }"#)
  }
}
