import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// The maximum in each cell of a grid over the whole plane: N x C x H x W to N x C x `pooled_h` x `pooled_w`, cell i from
/// floor(i H / pooled_h) to ceil((i + 1) H / pooled_h). Of a fork for face attributes.
package struct GRIDPooling: Layer {
  package static let type = "GRIDPooling"
  package static let parameterFields: [String]? = ["grid_pooling_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let rows: Int
  private let columns: Int

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    (rows, columns) = (Int(fields.parameter.gridPoolingParam.pooledH), Int(fields.parameter.gridPoolingParam.pooledW))
    guard rows > 0, columns > 0 else {
      throw fields.fault("pooled_h and pooled_w must be at least 1", at: "grid_pooling_param")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank == 4, bottoms[0][2] > 0, bottoms[0][3] > 0 else {
      throw fields.fault(.badShape, "needs a bottom N x C x H x W, but it is \(bottoms[0])")
    }
    return LayerShapes(tops: [[bottoms[0][0], bottoms[0][1], rows, columns]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let (bottom, top) = (binding.bottom(0), binding.top(0))
    binding.backwardReads()
    return Run(binding.engine, bottom, top, positions: binding.workspace(top.count * MemoryLayout<Int32>.stride))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    /// Where in its plane each maximum is (Int32).
    private let positions: Region

    init(_ engine: any Engine, _ bottom: Blob, _ top: Blob, positions: Region) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.positions = positions
    }

    private static func range(_ cell: Int, _ cells: Int, _ extent: Int) -> Range<Int> {
      (cell * extent / cells)..<(((cell + 1) * extent + cells - 1) / cells)
    }

    func forward() {
      let (height, width) = (bottom.shape[2], bottom.shape[3])
      let (rows, columns) = (top.shape[2], top.shape[3])
      let position = positions.pointer.assumingMemoryBound(to: Int32.self)
      engine.parallel(top.shape.count(..<2), grain: max(1, 4096 / (height * width))) { [bottom, top] from, to in
        for plane in from..<to {
          let x = bottom.values + plane * height * width
          for cell in 0..<(rows * columns) {
            let columnRange = Run.range(cell % columns, columns, width)
            var best = -1
            for row in Run.range(cell / columns, rows, height) {
              for at in (row * width + columnRange.lowerBound)..<(row * width + columnRange.upperBound)
              where best < 0 || x[at] > x[best] || (x[at].isNaN && !x[best].isNaN) { best = at }
            }
            top.values[plane * rows * columns + cell] = x[best]
            position[plane * rows * columns + cell] = Int32(best)
          }
        }
      }
    }

    func backward() {
      let (plane, cells) = (bottom.shape.count(2...), top.shape.count(2...))
      let position = positions.pointer.assumingMemoryBound(to: Int32.self)
      bottom.gradients.update(repeating: 0, count: bottom.count)
      for i in 0..<top.count { bottom.gradients[i / cells * plane + Int(position[i])] += top.gradients[i] }
    }
  }

  package static let examples: [LayerExample] = [
    example("cells that overlap", "pooled_h: 3 pooled_w: 4"),
    example("more cells than rows", "pooled_h: 7 pooled_w: 2"),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.distinct([2, 2, 5, 6])],
      #"layer { name: "g" type: "GRIDPooling" bottom: "in0" top: "g" grid_pooling_param { \#(param) } }"#)
  }
}
