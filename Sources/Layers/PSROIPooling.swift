import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// Position-sensitive averages over regions of interest (R-FCN: Dai, Li, He, Sun, NIPS 2016): the cell (row, column) of a
/// grid of g x g takes its average from channel (c g + row) g + column.
///
/// Bottoms: N x (`output_dim` g^2) x H x W, g being `group_size`, and regions R x 5 (image, x1, y1, x2, y2 in pixels of
/// the input). Top R x output_dim x g x g. The corners are rounded, the far ones plus 1, times `spatial_scale`; a region
/// is at least 0.1 wide and high; an empty cell gives 0. The regions take no gradient.
package struct PSROIPooling: Layer {
  package static let type = "PSROIPooling"
  package static let parameterFields: [String]? = ["psroi_pooling_param"]
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: PSROIPoolingParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.psroiPoolingParam
    guard param.outputDim > 0, param.groupSize > 0, param.spatialScale > 0, param.spatialScale < 1e3
    else {
      throw fields.fault(
        "spatial_scale, output_dim and group_size must be given, above 0, and the scale below 1000",
        at: "psroi_pooling_param")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let regions = try RegionBoxes(fields, boxes: bottoms[1], bottom: bottoms[0])
    let (outputs, side) = (Int(param.outputDim), Int(param.groupSize))
    guard bottoms[0][1] == outputs * side * side else {
      throw fields.fault(
        .badShape,
        "needs output_dim x group_size^2 = \(outputs * side * side) channels, but the bottom is \(bottoms[0])",
        at: "psroi_pooling_param")
    }
    return LayerShapes(tops: [[regions.count, outputs, side, side]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == 0 ? RowwiseBlobs(bottoms: [1]) : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let regions = try RegionBoxes(fields, boxes: binding.bottomShapes[1], bottom: binding.bottomShapes[0])
    let bottom = binding.bottom(0)
    let boxes = binding.bottom(1)
    binding.backwardReads(bottoms: [boxes])
    return Run(regions, bottom, boxes, binding.top(0), scale: param.spatialScale)
  }

  private final class Run: LayerRun {
    private let regions: RegionBoxes
    private let bottom: Blob
    private let boxes: Blob
    private let top: Blob
    private let scale: Float

    init(_ regions: RegionBoxes, _ bottom: Blob, _ boxes: Blob, _ top: Blob, scale: Float) {
      self.regions = regions
      self.bottom = bottom
      self.boxes = boxes
      self.top = top
      self.scale = scale
    }

    func forward() throws {
      let width = bottom.shape[3]
      try forEachCell { index, plane, rows, columns in
        var sum: Float = 0
        for y in rows { for x in columns { sum += bottom.values[plane + y * width + x] } }
        let area = rows.count * columns.count
        top.values[index] = area == 0 ? 0 : sum / Float(area)
      }
    }

    func backward() throws {
      let width = bottom.shape[3]
      bottom.gradients.update(repeating: 0, count: bottom.count)
      try forEachCell { index, plane, rows, columns in
        let share = top.gradients[index] / Float(max(1, rows.count * columns.count))
        for y in rows { for x in columns { bottom.gradients[plane + y * width + x] += share } }
      }
    }

    /// Calls `body` with each cell's index in the top, the start of its plane in the bottom, its rows and columns.
    private func forEachCell(
      _ body: (_ index: Int, _ plane: Int, _ rows: Range<Int>, _ columns: Range<Int>) -> Void
    ) throws {
      let (outputs, side) = (top.shape[1], top.shape[2])
      let (channels, height, width) = (bottom.shape[1], bottom.shape[2], bottom.shape[3])
      for region in 0..<regions.count {
        let image = try regions.image(boxes.values, region)
        let box = boxes.values + 5 * region
        let left = roundf(box[1]) * scale
        let upper = roundf(box[2]) * scale
        let cellWidth = max((roundf(box[3]) + 1) * scale - left, 0.1) / Float(side)
        let cellHeight = max((roundf(box[4]) + 1) * scale - upper, 0.1) / Float(side)
        for c in 0..<outputs {
          for cell in 0..<(side * side) {
            let (row, column) = (cell / side, cell % side)
            let rows = range(row, cellHeight, upper, height)
            let columns = range(column, cellWidth, left, width)
            body(
              (region * outputs + c) * side * side + cell,
              (image * channels + (c * side + row) * side + column) * height * width, rows, columns)
          }
        }
      }
    }

    private func range(_ cell: Int, _ size: Float, _ start: Float, _ extent: Int) -> Range<Int> {
      let first = min(max(Int((Float(cell) * size + start).rounded(.down)), 0), extent)
      let last = min(max(Int((Float(cell + 1) * size + start).rounded(.up)), 0), extent)
      return first..<max(first, last)
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "2x2 cells", inputs: [.normal([2, 12, 6, 7]), .labels([4, 5], classes: 2)],
      """
      layer { name: "r" type: "PSROIPooling" bottom: "in0" bottom: "in1" top: "r"
        psroi_pooling_param { spatial_scale: 2 output_dim: 3 group_size: 2 } }
      """)
  ]
}
