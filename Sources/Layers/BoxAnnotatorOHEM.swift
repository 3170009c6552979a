import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Picks the regions of each image that cost most (Shrivastava, Gupta, Girshick, CVPR 2016; the R-FCN fork of Caffe).
///
/// Bottoms: regions N x 5 x H x W (image, x1, y1, x2, y2), their costs, labels (one for each region) and box weights N x C
/// x H x W. Tops: labels N x 1 x H x W and box weights, as they were for the `roi_per_img` regions of each image that cost
/// most, `ignore_label` and 0 for the others. A cost that is no number comes last. Nothing takes a gradient.
package struct BoxAnnotatorOHEM: Layer {
  package static let type = "BoxAnnotatorOHEM"
  package static let parameterFields: [String]? = ["box_annotator_ohem_param"]
  package static let bottomCount = 4...4
  package static let topCount = 2...2

  private let fields: LayerFields
  private let param: BoxAnnotatorOHEMParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.boxAnnotatorOhemParam
    guard param.roiPerImg > 0 else {
      throw fields.fault(
        "roi_per_img, the regions picked from each image, must be at least 1", at: "box_annotator_ohem_param")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let regions = bottoms[0].extent(0) * bottoms[0].extent(2) * bottoms[0].extent(3)
    guard bottoms[0].rank >= 2, bottoms[0][1] == 5, bottoms[1].count == regions, bottoms[2].count == regions,
      bottoms[3].rank >= 2, bottoms[3][0] == bottoms[0][0],
      bottoms[3].count == bottoms[3][0] * bottoms[3][1] * bottoms[0].extent(2) * bottoms[0].extent(3)
    else {
      throw fields.fault(
        .badShape,
        "needs regions N x 5, a cost and a label for each, and box weights N x C, but they are "
          + bottoms.map(\.description).joined(separator: ", "))
    }
    return LayerShapes(tops: [[bottoms[0][0], 1, bottoms[0].extent(2), bottoms[0].extent(3)], bottoms[3]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    Run(fields, param, (0..<4).map { binding.bottom($0) }, labels: binding.top(0), weights: binding.top(1))
  }

  private final class Run: LayerRun {
    private let fields: LayerFields
    private let limit: Int
    private let ignored: Float
    private let bottoms: [Blob]
    private let labels: Blob
    private let weights: Blob
    private let positions: Int
    private let channels: Int
    /// Regions by cost, and how many may still be picked from each image; kept for their memory.
    private var order: [Int] = []
    private var left: [Int] = []

    init(
      _ fields: LayerFields, _ param: BoxAnnotatorOHEMParameter, _ bottoms: [Blob], labels: Blob, weights: Blob
    ) {
      self.fields = fields
      limit = Int(param.roiPerImg)
      ignored = Float(param.ignoreLabel)
      self.bottoms = bottoms
      self.labels = labels
      self.weights = weights
      positions = bottoms[0].shape.extent(2) * bottoms[0].shape.extent(3)
      channels = bottoms[3].shape[1]
      order.reserveCapacity(bottoms[1].count)
    }

    func forward() throws {
      let (costs, given) = (bottoms[1].values, bottoms[2].values)
      labels.values.update(repeating: ignored, count: labels.count)
      weights.values.update(repeating: 0, count: weights.count)
      order.removeAll(keepingCapacity: true)
      order.append(contentsOf: 0..<bottoms[0].liveShape[0] * positions)
      order.sort { a, b in
        costs[a] == costs[b] || (costs[a].isNaN && costs[b].isNaN)
          ? a < b : costs[a] > costs[b] || (!costs[a].isNaN && costs[b].isNaN)
      }
      left.removeAll(keepingCapacity: true)
      for region in order {
        let (n, s) = (region / positions, region % positions)
        let image = try image(n, s)
        while left.count <= image { left.append(limit) }
        guard left[image] > 0 else { continue }
        left[image] -= 1
        labels.values[region] = given[region]
        for c in 0..<channels {
          let at = (n * channels + c) * positions + s
          weights.values[at] = bottoms[3].values[at]
        }
      }
    }

    private func image(_ n: Int, _ s: Int) throws -> Int {
      let image = bottoms[0].values[n * 5 * positions + s]
      guard image >= 0, image < 65_536 else {
        throw fields.fault(
          .badRecord, "region \(n) of blob '\(bottoms[0].name)' is of image \(image); images are counted from 0")
      }
      return Int(image)
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two of each image",
      inputs: [.labels([6, 5], classes: 2), .distinct([6, 1]), .labels([6], classes: 3), .normal([6, 8])],
      """
      layer { name: "b" type: "BoxAnnotatorOHEM" bottom: "in0" bottom: "in1" bottom: "in2" bottom: "in3" top: "labels"
        top: "weights" box_annotator_ohem_param { roi_per_img: 2 } }
      """, checksGradient: false)
  ]
}
