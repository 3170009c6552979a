import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// The values at the corners of a grid over regions of interest, interpolated, as in Cascade R-CNN (Cai, Vasconcelos, CVPR
/// 2018, and its fork of Caffe), whose nets take the mean of each cell's corners by a Pooling layer behind.
///
/// Bottoms: N x C x H x W, regions R x 5 (image, x1, y1, x2, y2 in pixels of the input). Top R x C x (`pooled_h` + 1) x
/// (`pooled_w` + 1). A region is made larger by `pad_ratio` of its size on each side and multiplied by `spatial_scale`; a
/// pixel's value lies at its centre. Corners outside the map give 0. The regions take no gradient. The other schema,
/// `roi_align_param`, has another rule in each fork: its shape is inferred, and it does not run.
package struct ROIAlign: Layer {
  package static let type = "ROIAlign"
  package static let parameterFields: [String]? = ["roi_pooling_param", "roi_align_param"]
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: ROIPoolingParameter
  private let isOther: Bool

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    isOther = fields.parameter.hasRoiAlignParam
    var param = fields.parameter.roiPoolingParam
    let other = fields.parameter.roiAlignParam
    if isOther {
      (param.pooledH, param.pooledW, param.spatialScale) = (other.pooledH, other.pooledW, other.spatialScale)
    }
    self.param = param
    try fields.refuse(
      !param.pooledSize.isEmpty, "roi_pooling_param.pooled_size", "give pooled_h and pooled_w, for two axes")
    guard param.pooledH > 0, param.pooledW > 0 else {
      throw fields.fault(
        "pooled_h and pooled_w must be at least 1", at: isOther ? "roi_align_param" : "roi_pooling_param")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let regions = try RegionBoxes(fields, boxes: bottoms[1], bottom: bottoms[0])
    let more = isOther ? 0 : 1
    return LayerShapes(tops: [[regions.count, bottoms[0][1], Int(param.pooledH) + more, Int(param.pooledW) + more]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == 0 ? RowwiseBlobs(bottoms: [1]) : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    try fields.refuse(
      isOther, "roi_align_param", "give roi_pooling_param, which is Cascade R-CNN's, or use ROIPooling")
    let regions = try RegionBoxes(fields, boxes: binding.bottomShapes[1], bottom: binding.bottomShapes[0])
    let (bottom, boxes) = (binding.bottom(0), binding.bottom(1))
    binding.backwardReads(bottoms: [boxes])
    return Run(binding.engine, regions, bottom, boxes, binding.top(0), param)
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let regions: RegionBoxes
    private let bottom: Blob
    private let boxes: Blob
    private let top: Blob
    private let scale: Float
    private let padding: Float

    init(
      _ engine: any Engine, _ regions: RegionBoxes, _ bottom: Blob, _ boxes: Blob, _ top: Blob,
      _ param: ROIPoolingParameter
    ) {
      self.engine = engine
      self.regions = regions
      self.bottom = bottom
      self.boxes = boxes
      self.top = top
      (scale, padding) = (param.spatialScale, param.padRatio)
    }

    /// Where a corner lies: four neighbours in the plane and their shares.
    private struct Corner {
      var places: SIMD4<Int>
      var shares: SIMD4<Float>
    }

    /// The corner (row, column) of a region, or nil outside the map.
    private func corner(_ region: Int, _ row: Int, _ column: Int) -> Corner? {
      let box = boxes.values + 5 * region
      let (height, width) = (bottom.shape[2], bottom.shape[3])
      guard
        let y = place(box[2], box[4], row, top.shape[2] - 1, height),
        let x = place(box[1], box[3], column, top.shape[3] - 1, width)
      else { return nil }
      let (upper, lower) = (y.low * width, y.high * width)
      return Corner(
        places: [upper + x.low, upper + x.high, lower + x.low, lower + x.high],
        shares: [(1 - y.share) * (1 - x.share), (1 - y.share) * x.share, y.share * (1 - x.share), y.share * x.share])
    }

    /// The neighbours of the corner on one axis, and the share of the higher one.
    private func place(
      _ near: Float, _ far: Float, _ index: Int, _ cells: Int, _ extent: Int
    ) -> (low: Int, high: Int, share: Float)? {
      let pad = (far - near + 1) * padding
      let (start, end) = ((near - pad) * scale - 0.5, (far + pad) * scale - 0.5)
      guard end > start else { return nil }
      let at = start + Float(index) * ((end - start) / Float(cells))
      guard at >= -0.5, at <= Float(extent) - 0.5 else { return nil }
      let floor = Int(at.rounded(.down))
      let (low, high) = (min(max(floor, 0), extent - 1), min(max(floor + 1, 0), extent - 1))
      return (low, high, min(max(at, 0), Float(extent - 1)) - Float(low))
    }

    func forward() throws {
      let (channels, plane) = (bottom.shape[1], bottom.shape.count(2...))
      let cells = top.shape.count(2...)
      for region in 0..<regions.count {
        let image = try regions.image(boxes.values, region)
        for cell in 0..<cells {
          let corner = corner(region, cell / top.shape[3], cell % top.shape[3])
          for c in 0..<channels {
            let x = bottom.values + (image * channels + c) * plane
            var sum: Float = 0
            if let corner { for k in 0..<4 { sum += corner.shares[k] * x[corner.places[k]] } }
            top.values[(region * channels + c) * cells + cell] = sum
          }
        }
      }
    }

    func backward() throws {
      let (channels, plane) = (bottom.shape[1], bottom.shape.count(2...))
      let cells = top.shape.count(2...)
      bottom.gradients.update(repeating: 0, count: bottom.count)
      for region in 0..<regions.count {
        let image = try regions.image(boxes.values, region)
        for cell in 0..<cells {
          guard let corner = corner(region, cell / top.shape[3], cell % top.shape[3]) else { continue }
          for c in 0..<channels {
            let dx = bottom.gradients + (image * channels + c) * plane
            let dy = top.gradients[(region * channels + c) * cells + cell]
            for k in 0..<4 { dx[corner.places[k]] += corner.shares[k] * dy }
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("2x3 cells", "pooled_h: 2 pooled_w: 3 spatial_scale: 4.3"),
    example("with context", "pooled_h: 2 pooled_w: 2 spatial_scale: 2.1 pad_ratio: 0.25"),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([2, 3, 6, 7]), .labels([8, 5], classes: 2)],
      #"layer { name: "r" type: "ROIAlign" bottom: "in0" bottom: "in1" top: "r" roi_pooling_param { \#(param) } }"#)
  }
}
