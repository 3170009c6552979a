import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// `tiles` copies of the bottom, one behind the other along `axis`.
package struct Tile: Layer {
  package static let type = "Tile"
  package static let parameterFields: [String]? = ["tile_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: TileParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.tileParam
    guard param.tiles > 0 else {
      throw fields.fault("tiles, the number of copies, must be at least 1", at: "tile_param.tiles")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    var top = bottoms[0]
    let axis = try top.canonicalAxis(Int(param.axis))
    top[axis] *= Int(param.tiles)
    return LayerShapes(tops: [top])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    (try? bottoms[0].canonicalAxis(Int(param.axis))) == axis ? nil : .all
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let axis = try binding.bottomShapes[0].canonicalAxis(Int(param.axis))
    binding.backwardReads()
    return Run(
      binding.engine, binding.bottom(0), binding.top(0), tiles: Int(param.tiles),
      width: binding.bottomShapes[0].count(axis...))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let tiles: Int
    /// Values in a copy.
    private let width: Int

    init(_ engine: any Engine, _ bottom: Blob, _ top: Blob, tiles: Int, width: Int) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.tiles = tiles
      self.width = width
    }

    private var outer: Int { width == 0 ? 0 : bottom.count / width }

    func forward() {
      let (x, y) = (bottom.values, top.values)
      engine.parallel(outer, grain: max(1, 4096 / (width * tiles + 1))) { [width, tiles] from, to in
        for o in from..<to {
          for t in 0..<tiles { (y + (o * tiles + t) * width).update(from: x + o * width, count: width) }
        }
      }
    }

    func backward() {
      let (dx, dy) = (bottom.gradients, top.gradients)
      engine.parallel(outer, grain: max(1, 4096 / (width * tiles + 1))) { [width, tiles] from, to in
        for o in from..<to {
          let sum = dx + o * width
          sum.update(from: dy + o * tiles * width, count: width)
          for t in 1..<max(1, tiles) {
            let part = dy + (o * tiles + t) * width
            for i in 0..<width { sum[i] += part[i] }
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "channels", inputs: [.normal([2, 3, 4])],
      #"layer { name: "t" type: "Tile" bottom: "in0" top: "t" tile_param { tiles: 3 } }"#),
    LayerExample(
      "last axis", inputs: [.normal([2, 3])],
      #"layer { name: "t" type: "Tile" bottom: "in0" top: "t" tile_param { axis: -1 tiles: 2 } }"#),
  ]
}
