import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// The maximum in each cell of a grid over regions of interest (Fast R-CNN: Girshick, ICCV 2015).
///
/// Bottoms: N x C x H x W, regions R x 5 (image, x1, y1, x2, y2 in pixels of the input). Top R x C x `pooled_h` x
/// `pooled_w`. The corners times `spatial_scale`, rounded, bound the region, both included; cells are rounded outwards
/// and cut at the border; an empty one gives 0. The regions take no gradient. Of the fork of MS-CNN: a region is made larger
/// by `pad_ratio` of its size on each side.
package struct ROIPooling: Layer {
  package static let type = "ROIPooling"
  package static let parameterFields: [String]? = ["roi_pooling_param"]
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: ROIPoolingParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.roiPoolingParam
    try fields.refuse(
      !param.pooledSize.isEmpty, "roi_pooling_param.pooled_size", "give pooled_h and pooled_w, for two axes")
    guard param.pooledH > 0, param.pooledW > 0 else {
      throw fields.fault("pooled_h and pooled_w must be at least 1", at: "roi_pooling_param")
    }
    guard abs(param.spatialScale) < 1e3, abs(param.padRatio) < 1e3 else {
      throw fields.fault("spatial_scale and pad_ratio must be below 1000", at: "roi_pooling_param")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let regions = try RegionBoxes(fields, boxes: bottoms[1], bottom: bottoms[0])
    return LayerShapes(tops: [[regions.count, bottoms[0][1], Int(param.pooledH), Int(param.pooledW)]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == 0 ? RowwiseBlobs(bottoms: [1]) : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let regions = try RegionBoxes(fields, boxes: binding.bottomShapes[1], bottom: binding.bottomShapes[0])
    let bottom = binding.bottom(0)
    let boxes = binding.bottom(1)
    let top = binding.top(0)
    binding.backwardReads(bottoms: [boxes])
    return Run(
      binding.engine, regions, bottom, boxes, top, scale: param.spatialScale, padding: param.padRatio,
      positions: binding.workspace(top.count * MemoryLayout<Int32>.stride))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let regions: RegionBoxes
    private let bottom: Blob
    private let boxes: Blob
    private let top: Blob
    private let scale: Float
    private let padding: Float
    /// Where in its plane each maximum is (Int32), -1 for an empty cell.
    private let positions: Region

    init(
      _ engine: any Engine, _ regions: RegionBoxes, _ bottom: Blob, _ boxes: Blob, _ top: Blob, scale: Float,
      padding: Float,
      positions: Region
    ) {
      self.engine = engine
      self.regions = regions
      self.bottom = bottom
      self.boxes = boxes
      self.top = top
      self.scale = scale
      self.padding = padding
      self.positions = positions
    }

    func forward() throws {
      for region in 0..<regions.count {
        let image = try regions.image(boxes.values, region)
        let box = boxes.values + 5 * region
        let (padX, padY) = ((box[3] - box[1] + 1) * padding, (box[4] - box[2] + 1) * padding)
        let left = Int(roundf((box[1] - padX) * scale))
        let upper = Int(roundf((box[2] - padY) * scale))
        pool(
          region, image: image, left: left, upper: upper,
          width: max(1, Int(roundf((box[3] + padX) * scale)) - left + 1),
          height: max(1, Int(roundf((box[4] + padY) * scale)) - upper + 1))
      }
    }

    private func pool(_ region: Int, image: Int, left: Int, upper: Int, width: Int, height: Int) {
      let (channels, rows, columns) = (top.shape[1], top.shape[2], top.shape[3])
      let (planeHeight, planeWidth) = (bottom.shape[2], bottom.shape[3])
      let cellHeight = Float(height) / Float(rows)
      let cellWidth = Float(width) / Float(columns)
      let position = positions.pointer.assumingMemoryBound(to: Int32.self)
      let work = max(1, min(width, planeWidth) * min(height, planeHeight))
      engine.parallel(channels, grain: max(1, 4096 / work)) { [bottom, top] from, to in
        for c in from..<to {
          let plane = bottom.values + (image * channels + c) * planeHeight * planeWidth
          for cell in 0..<(rows * columns) {
            let (row, column) = (Float(cell / columns), Float(cell % columns))
            let y0 = min(max(Int((row * cellHeight).rounded(.down)) + upper, 0), planeHeight)
            let y1 = min(max(Int(((row + 1) * cellHeight).rounded(.up)) + upper, 0), planeHeight)
            let x0 = min(max(Int((column * cellWidth).rounded(.down)) + left, 0), planeWidth)
            let x1 = min(max(Int(((column + 1) * cellWidth).rounded(.up)) + left, 0), planeWidth)
            var best = -1
            for y in y0..<max(y0, y1) {
              for at in (y * planeWidth + x0)..<(y * planeWidth + max(x0, x1))
              where best < 0 || plane[at] > plane[best] || (plane[at].isNaN && !plane[best].isNaN) { best = at }
            }
            let index = (region * channels + c) * rows * columns + cell
            top.values[index] = best < 0 ? 0 : plane[best]
            position[index] = Int32(best)
          }
        }
      }
    }

    func backward() throws {
      let (channels, cells) = (top.shape[1], top.shape[2] * top.shape[3])
      let plane = bottom.shape.count(2...)
      let position = positions.pointer.assumingMemoryBound(to: Int32.self)
      bottom.gradients.update(repeating: 0, count: bottom.count)
      for region in 0..<regions.count {
        let image = try regions.image(boxes.values, region)
        for c in 0..<channels {
          let dx = bottom.gradients + (image * channels + c) * plane
          let start = (region * channels + c) * cells
          for index in start..<(start + cells) where position[index] >= 0 {
            dx[Int(position[index])] += top.gradients[index]
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "3x2 cells", inputs: [.distinct([2, 3, 6, 7]), .labels([4, 5], classes: 2)],
      """
      layer { name: "r" type: "ROIPooling" bottom: "in0" bottom: "in1" top: "r"
        roi_pooling_param { pooled_h: 3 pooled_w: 2 spatial_scale: 3 } }
      """),
    LayerExample(
      "with context", inputs: [.distinct([2, 3, 6, 7]), .labels([4, 5], classes: 2)],
      """
      layer { name: "r" type: "ROIPooling" bottom: "in0" bottom: "in1" top: "r"
        roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 2 pad_ratio: 0.4 } }
      """),
  ]
}
