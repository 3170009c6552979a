import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Enlarges planes. With one bottom, each value is repeated `scale` times (1 unless given) in both directions, as the
/// YOLO forks do. With two, each value goes to the place that the second bottom names, the positions of a max pooling,
/// and all others are 0 (SegNet: Badrinarayanan, Kendall, Cipolla, 2015).
///
/// Bottom N x C x H x W; the positions are of the same shape and take no gradient. SegNet's size is `upsample_h` x
/// `upsample_w`, or H and W times `scale` (2 unless given; or `scale_h`, `scale_w`), one less with `pad_out_h`,
/// `pad_out_w`.
package struct Upsample: Layer {
  package static let type = "Upsample"
  package static let parameterFields: [String]? = ["upsample_param"]
  package static let bottomCount = 1...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: UpsampleParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.upsampleParam
    guard param.scale > 0 else { throw fields.fault("scale must be at least 1", at: "upsample_param.scale") }
    guard param.hasScaleH == param.hasScaleW, param.hasUpsampleH == param.hasUpsampleW else {
      throw fields.fault("the _h and _w forms come in pairs; one of them is missing", at: "upsample_param")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  /// How often a value is repeated.
  private var repeats: Int { param.hasScale ? Int(param.scale) : 1 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let bottom = bottoms[0]
    guard bottom.rank == 4 else {
      throw fields.fault(.badShape, "needs a bottom of 4 axes (N x C x H x W), but it is \(bottom)")
    }
    if bottoms.count == 1 {
      return LayerShapes(tops: [[bottom[0], bottom[1], bottom[2] * repeats, bottom[3] * repeats]])
    }
    guard bottoms[1] == bottom else {
      throw fields.fault(
        .badShape, "needs a position for each value of \(bottom), but they are \(bottoms[1])", at: "bottom[1]")
    }
    if param.hasUpsampleH {
      return LayerShapes(tops: [[bottom[0], bottom[1], Int(param.upsampleH), Int(param.upsampleW)]])
    }
    let (height, width) =
      param.hasScaleH ? (Int(param.scaleH), Int(param.scaleW)) : (Int(param.scale), Int(param.scale))
    return LayerShapes(tops: [
      [
        bottom[0], bottom[1], bottom[2] * height - (param.padOutH ? 1 : 0),
        bottom[3] * width - (param.padOutW ? 1 : 0),
      ]
    ])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    guard binding.bottomShapes.count > 1 else {
      binding.backwardReads()
      return RepeatRun(binding.engine, bottom, binding.top(0), repeats)
    }
    let positions = binding.bottom(1)
    binding.backwardReads(bottoms: [positions])
    return UnpoolRun(
      bottom, positions, binding.top(0), RowIndices(fields, bottom: 1, count: binding.topShapes[0].count(2...)))
  }

  private final class RepeatRun: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let repeats: Int

    init(_ engine: any Engine, _ bottom: Blob, _ top: Blob, _ repeats: Int) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.repeats = repeats
    }

    func forward() {
      forEachRow { [bottom, top, repeats] row, start, width in
        let x = bottom.values + row * width
        let y = top.values + start
        for i in 0..<(width * repeats) { y[i] = x[i / repeats] }
      }
    }

    func backward() {
      bottom.gradients.update(repeating: 0, count: bottom.count)
      forEachRow { [bottom, top, repeats] row, start, width in
        let dx = bottom.gradients + row * width
        let dy = top.gradients + start
        for i in 0..<(width * repeats) { dx[i / repeats] += dy[i] }
      }
    }

    /// Calls `body` for each row of the bottom with each of its copies' starts in the top.
    private func forEachRow(_ body: (_ row: Int, _ start: Int, _ width: Int) -> Void) {
      let width = bottom.shape[3]
      engine.parallel(bottom.shape.count(..<3), grain: max(1, 4096 / max(1, width))) { [repeats] from, to in
        for row in from..<to {
          for copy in 0..<repeats { body(row, (row * repeats + copy) * width * repeats, width) }
        }
      }
    }
  }

  private final class UnpoolRun: LayerRun {
    private let bottom: Blob
    private let positions: Blob
    private let top: Blob
    private let places: RowIndices

    init(_ bottom: Blob, _ positions: Blob, _ top: Blob, _ places: RowIndices) {
      self.bottom = bottom
      self.positions = positions
      self.top = top
      self.places = places
    }

    private var plane: Int { bottom.shape.count(2...) }

    func forward() throws {
      top.values.update(repeating: 0, count: top.count)
      for i in 0..<bottom.count {
        top.values[i / plane * places.count + (try places.index(positions.values, i))] = bottom.values[i]
      }
    }

    func backward() throws {
      for i in 0..<bottom.count {
        bottom.gradients[i] = top.gradients[i / plane * places.count + (try places.index(positions.values, i))]
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "repeated", inputs: [.normal([2, 2, 2, 3])],
      #"layer { name: "u" type: "Upsample" bottom: "in0" top: "u" upsample_param { scale: 2 } }"#),
    LayerExample(
      "to the places of maxima", inputs: [.distinct([1, 2, 4, 4])],
      """
      layer { name: "p" type: "Pooling" bottom: "in0" top: "p" top: "mask" pooling_param { kernel_size: 2 stride: 2 } }
      layer { name: "u" type: "Upsample" bottom: "p" bottom: "mask" top: "u" upsample_param { scale: 2 } }
      """),
  ]
}
