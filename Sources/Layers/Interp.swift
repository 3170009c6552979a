import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Resizes planes by bilinear interpolation, corner to corner (DeepLab: Chen et al., ICLR 2015).
///
/// Bottom N x C x H x W. `pad_beg` and `pad_end`, 0 or less, cut rows and columns off first. The top's planes are
/// (H - 1) / `shrink_factor` + 1, or H + (H - 1) (`zoom_factor` - 1), or the one after the other, or `height` x `width`.
package struct Interp: Layer {
  package static let type = "Interp"
  package static let parameterFields: [String]? = ["interp_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: InterpParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.interpParam
    try fields.refuse(param.hasFullZoomFactor, "interp_param.full_zoom_factor", "give height and width")
    try fields.refuse(param.hasUseBlobSize, "interp_param.use_blob_size", "give height and width")
    guard param.padBeg <= 0, param.padEnd <= 0 else {
      throw fields.fault("pad_beg and pad_end can only cut: 0 or less", at: "interp_param")
    }
    guard param.hasZoomFactor || param.hasShrinkFactor || (param.hasHeight && param.hasWidth) else {
      throw fields.fault(
        "the size is missing; give zoom_factor, shrink_factor, or height and width", at: "interp_param")
    }
    guard param.zoomFactor >= 1, param.shrinkFactor >= 1 else {
      throw fields.fault("zoom_factor and shrink_factor must be at least 1", at: "interp_param")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bottom = Interp.planes(bottoms[0])
    let cut = Int(param.padBeg) + Int(param.padEnd)
    guard bottom.rank == 4, bottom[2] + cut > 0, bottom[3] + cut > 0 else {
      throw fields.fault(
        .badShape,
        "needs a bottom of 4 axes (N x C x H x W), or fewer, of which something is left, but it is \(bottoms[0])")
    }
    let top = try (2...3).map { axis in
      var extent = bottom[axis] + cut
      if !param.hasZoomFactor, !param.hasShrinkFactor {
        extent = Int(axis == 2 ? param.height : param.width)
      } else {
        if param.hasShrinkFactor { extent = (extent - 1) / Int(param.shrinkFactor) + 1 }
        if param.hasZoomFactor { extent += (extent - 1) * (Int(param.zoomFactor) - 1) }
      }
      guard extent > 0 else { throw fields.fault("height and width must be at least 1", at: "interp_param") }
      return extent
    }
    return LayerShapes(tops: [[bottom[0], bottom[1], top[0], top[1]]])
  }

  /// With axes of 1 behind those that are missing, as the DeepLab layer reads labels N.
  private static func planes(_ shape: Shape) -> Shape {
    Shape(shape.dims + [Int](repeating: 1, count: max(0, 4 - shape.rank)))
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    binding.backwardReads()
    return Run(
      binding.engine, binding.bottom(0), binding.top(0), start: -Int(param.padBeg),
      cut: Int(param.padBeg) + Int(param.padEnd))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let planes: Shape
    private let start: Int
    private let height: Int
    private let width: Int

    init(_ engine: any Engine, _ bottom: Blob, _ top: Blob, start: Int, cut: Int) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.start = start
      planes = Interp.planes(bottom.shape)
      height = planes[2] + cut
      width = planes[3] + cut
    }

    func forward() {
      forEachValue { [bottom, top] index, at, right, below, dx, dy in
        let x = bottom.values + at
        let upper = (1 - dx) * x[0] + dx * x[right]
        let lower = (1 - dx) * x[below] + dx * x[below + right]
        top.values[index] = (1 - dy) * upper + dy * lower
      }
    }

    func backward() {
      bottom.gradients.update(repeating: 0, count: bottom.count)
      forEachValue { [bottom, top] index, at, right, below, dx, dy in
        let gradient = bottom.gradients + at
        let value = top.gradients[index]
        gradient[0] += (1 - dy) * (1 - dx) * value
        gradient[right] += (1 - dy) * dx * value
        gradient[below] += dy * (1 - dx) * value
        gradient[below + right] += dy * dx * value
      }
    }

    /// Calls `body` with each value's index in the top, the index of the upper left of its four neighbours in the bottom,
    /// the way to those right and below, and how far it is from the first.
    @inline(__always)
    private func forEachValue(
      _ body: (_ index: Int, _ at: Int, _ right: Int, _ below: Int, _ dx: Float, _ dy: Float) -> Void
    ) {
      let (topHeight, topWidth) = (top.shape[2], top.shape[3])
      let (planeHeight, planeWidth) = (planes[2], planes[3])
      let stepY = topHeight > 1 ? Float(height - 1) / Float(topHeight - 1) : 0
      let stepX = topWidth > 1 ? Float(width - 1) / Float(topWidth - 1) : 0
      let grain = max(1, 4096 / (topHeight * topWidth))
      engine.parallel(planes.count(..<2), grain: grain) { [start, height, width] from, to in
        for plane in from..<to {
          for y in 0..<topHeight {
            let exactY = stepY * Float(y)
            let y0 = min(Int(exactY), height - 1)
            let below = y0 < height - 1 ? planeWidth : 0
            for x in 0..<topWidth {
              let exactX = stepX * Float(x)
              let x0 = min(Int(exactX), width - 1)
              body(
                (plane * topHeight + y) * topWidth + x,
                (plane * planeHeight + start + y0) * planeWidth + start + x0, x0 < width - 1 ? 1 : 0, below,
                exactX - Float(x0), exactY - Float(y0))
            }
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("to a size", "height: 7 width: 5"), example("zoom", "zoom_factor: 2"),
    example("shrink, cut", "shrink_factor: 2 pad_beg: -1"),
    example("shrink and zoom", "shrink_factor: 2 zoom_factor: 3"),
    example("to one row", "height: 1 width: 4"),
    LayerExample(
      "one value a record", inputs: [.normal([3])],
      #"layer { name: "i" type: "Interp" bottom: "in0" top: "i" interp_param { height: 2 width: 3 } }"#),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([2, 2, 4, 6])],
      #"layer { name: "i" type: "Interp" bottom: "in0" top: "i" interp_param { \#(param) } }"#)
  }
}
