import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Resizes planes by bilinear interpolation, corner to corner (DeepLab: Chen et al., ICLR 2015).
///
/// Bottoms: N x C x H x W; optionally a blob of any channels, whose planes the top's are then as large as. `pad_beg` and
/// `pad_end`, 0 or less, cut rows and columns off first. Without a second bottom the top's planes are (H - 1) /
/// `shrink_factor` + 1, or H + (H - 1) (`zoom_factor` - 1), or the one after the other; or `height` x `width`; or, of one
/// fork, H `full_zoom_factor`.
package struct Interp: Layer {
  package static let type = "Interp"
  package static let parameterFields: [String]? = ["interp_param"]
  package static let bottomCount = 1...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: InterpParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.interpParam
    guard param.padBeg <= 0, param.padEnd <= 0 else {
      throw fields.fault("pad_beg and pad_end can only cut: 0 or less", at: "interp_param")
    }
    let isZoomed = param.hasZoomFactor || param.hasShrinkFactor || param.hasFullZoomFactor
    let isGiven = isZoomed || param.hasHeight || param.hasWidth
    let followsBottom = fields.parameter.bottom.count > 1
    guard !param.hasUseBlobSize || param.useBlobSize == followsBottom else {
      throw fields.fault("use_blob_size goes with a second bottom", at: "interp_param.use_blob_size")
    }
    guard !(followsBottom && isGiven) else {
      throw fields.fault("the size is given twice: by the second bottom and by interp_param", at: "interp_param")
    }
    guard followsBottom || isZoomed || (param.hasHeight && param.hasWidth) else {
      throw fields.fault(
        "the size is missing; give zoom_factor, shrink_factor, height and width, or a second bottom", at: "interp_param"
      )
    }
    guard param.zoomFactor >= 1, param.shrinkFactor >= 1, param.fullZoomFactor >= 1 else {
      throw fields.fault("zoom_factor, shrink_factor and full_zoom_factor must be at least 1", at: "interp_param")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bottom = Interp.planes(bottoms[0])
    let cut = Int(param.padBeg) + Int(param.padEnd)
    guard bottom.rank == 4, bottom[2] + cut > 0, bottom[3] + cut > 0 else {
      throw fields.fault(
        .badShape,
        "needs a bottom of 4 axes (N x C x H x W), or fewer, of which something is left, but it is \(bottoms[0])")
    }
    let top = (2...3).map { axis in
      bottoms.count > 1 ? bottoms[1].extent(axis) : extent(bottom[axis] + cut, axis)
    }
    guard top[0] > 0, top[1] > 0 else { throw fields.fault("height and width must be at least 1", at: "interp_param") }
    return LayerShapes(tops: [[bottom[0], bottom[1], top[0], top[1]]])
  }

  /// Of the top's planes, without a second bottom, when what is left of the bottom's is `bottom`.
  private func extent(_ bottom: Int, _ axis: Int) -> Int {
    if param.hasShrinkFactor || param.hasZoomFactor {
      let shrunk = param.hasShrinkFactor ? (bottom - 1) / Int(param.shrinkFactor) + 1 : bottom
      return shrunk + (param.hasZoomFactor ? (shrunk - 1) * (Int(param.zoomFactor) - 1) : 0)
    }
    if param.hasHeight, param.hasWidth { return Int(axis == 2 ? param.height : param.width) }
    return bottom * Int(param.fullZoomFactor)
  }

  /// With axes of 1 behind those that are missing, as the DeepLab layer reads labels N.
  private static func planes(_ shape: Shape) -> Shape {
    Shape(shape.dims + [Int](repeating: 1, count: max(0, 4 - shape.rank)))
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == 0 ? RowwiseBlobs(bottoms: [0]) : nil
  }

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
    example("shrink, cut", "shrink_factor: 2 pad_beg: -1"), example("zoom, cut", "zoom_factor: 2 pad_end: -1"),
    example("shrink and zoom", "shrink_factor: 2 zoom_factor: 3"),
    example("to one row", "height: 1 width: 4"), example("full zoom", "full_zoom_factor: 2"),
    LayerExample(
      "to the size of another blob", inputs: [.normal([2, 2, 4, 6]), .normal([2, 1, 7, 5])],
      #"layer { name: "i" type: "Interp" bottom: "in0" bottom: "in1" top: "i" interp_param { use_blob_size: true } }"#),
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
