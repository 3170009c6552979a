import CaffeSchema
import Nets
import Tensors

/// Layers of the detectors of MS-CNN and Cascade R-CNN (Cai et al., ECCV 2016, CVPR 2018). How many boxes they make
/// shows only when they run; here it is one row, as when their nets are built.
let shapeOnlyDetectors: [ShapeOnlyType] =
  ["BoxGroupOutput", "BoxOutput"].map { type in
    ShapeOnlyType(
      type, bottoms: 1...Int.max, tops: 1...2, "\(detector): DetectionOutput makes the boxes of SSD",
      .shapes { fields, _ in LayerShapes(tops: fields.parameter.top.indices.map { [1, $0 == 0 ? 5 : 6, 1, 1] }) })
  } + [
    ShapeOnlyType("DecodeBBox", bottoms: 2...3, detector, .top { _, bottoms in bottoms[1] }),
    ShapeOnlyType(
      "FrcnnOutput", bottoms: 4...4, tops: 0...1, detector,
      .shapes { fields, _ in LayerShapes(tops: fields.parameter.top.map { _ in [1, 7, 1, 1] }) }),
    ShapeOnlyType(
      "ProposalTarget", bottoms: 2...Int.max, tops: 6...7, detector,
      .shapes { fields, bottoms in
        let param = fields.parameter.proposalTargetParam
        let rows = param.batchSize == -1 ? max(1, bottoms[0].extent(0)) : Int(param.batchSize)
        let isAware = fields.parameter.bboxRegParam.clsAware
        let targets = isAware ? 4 * Int(param.clsNum) : 8
        // Regions, labels, targets with their weights, the boxes that were met, and the weights of samples.
        let widths = [5, 1, targets, targets, targets, 6, 1]
        return LayerShapes(tops: fields.parameter.top.indices.map { [rows, widths[$0], 1, 1] })
      }),
    ShapeOnlyType("ScaleRoute", bottoms: 1...Int.max, tops: 1...Int.max, detector, .likeBottoms),
    ShapeOnlyType(
      "FrcnnAnchorTarget", bottoms: 3...4, tops: 4...4, detector,
      .shapes { fields, bottoms in
        let (height, width) = (bottoms[0].extent(2), bottoms[0].extent(3))
        let anchors = bottoms[0].extent(1) / 2
        return LayerShapes(
          tops: fields.parameter.top.indices.map {
            $0 == 0 ? [1, 1, anchors * height, width] : [1, 4 * anchors, height, width]
          })
      }),
    ShapeOnlyType(
      "FrcnnProposal", bottoms: 3...3, tops: 1...2, detector,
      .shapes { fields, _ in LayerShapes(tops: fields.parameter.top.indices.map { [300, $0 == 0 ? 5 : 1, 1, 1] }) }),
    ShapeOnlyType(
      "FrcnnProposalTarget", bottoms: 2...3, tops: 5...5, detector,
      .outlines { fields, _ in
        // 128 regions, as the fork ships it, and for each class of a configuration four numbers.
        fields.parameter.top.indices.map {
          $0 < 2 ? .exactly([128, $0 == 0 ? 5 : 1, 1, 1]) : TopOutline([128, nil]).usually([128, 84])
        }
      }),
    ShapeOnlyType(
      "FrcnnRoiData", role: .data, bottoms: 0...0, tops: 3...3, "\(detector): AnnotatedData reads boxes",
      .outlines { fields, _ in
        [
          TopOutline.images(batch: 1, channels: 3).usually([1, 3, 600, 1000]), .exactly([1, 3]),
          .exactly([1, 5, 1, 1]),
        ]
      }),
    detectionSource("DetectionData") { layer in
      let param = layer.detectionDataParam
      let crop = param.cropHeight > 0 && param.cropWidth > 0
      return DetectionSource(
        batch: param.batchSize, height: crop ? param.cropHeight : param.resizeHeight,
        width: crop ? param.cropWidth : param.resizeWidth, strides: param.stride, coordinates: param.coordNum,
        truthWidth: 8)
    },
    detectionSource("EvalData") { layer in
      let param = layer.evalDataParam
      return DetectionSource(
        batch: param.batchSize, height: param.resizeHeight > 0 ? param.resizeHeight : param.longSize,
        width: param.resizeWidth > 0 ? param.resizeWidth : param.shortSize, strides: [], coordinates: 0, truthWidth: 8)
    },
    detectionSource("ImageGtData") { layer in
      let param = layer.imageGtDataParam
      return DetectionSource(
        batch: param.batchSize, height: param.cropHeight > 0 ? param.cropHeight : param.resizeHeight,
        width: param.cropWidth > 0 ? param.cropWidth : param.resizeWidth, strides: param.downsampleRate,
        coordinates: param.coordNum, truthWidth: 7)
    },
  ]

private let detector = "a layer of one fork's detector"

/// Images, a map of labels for each stride, the boxes of the truth, and the images' sizes.
private struct DetectionSource {
  var batch: UInt32
  /// 0 for unknown.
  var height: UInt32
  var width: UInt32
  var strides: [UInt32]
  var coordinates: UInt32
  /// Values of a box of the truth.
  var truthWidth: Int

  func outline(_ top: Int) -> TopOutline {
    let (images, sides) = (Int(batch), [height, width].map { $0 > 0 ? Int($0) : nil })
    if top == 0 { return .images(batch: images, channels: 3, height: sides[0], width: sides[1]) }
    if top <= strides.count {
      let stride = max(1, Float(strides[top - 1]))
      return TopOutline([images, 2 + Int(coordinates)] + sides.map { $0.map { Int((Float($0) / stride).rounded()) } })
    }
    return .exactly(top == strides.count + 1 ? [1, truthWidth, 1, 1] : [images, 2, 1, 1])
  }
}

private func detectionSource(
  _ type: String, _ source: @escaping @Sendable (LayerParameter) -> DetectionSource
) -> ShapeOnlyType {
  ShapeOnlyType(
    type, role: .data, bottoms: 0...0, tops: 1...Int.max, "\(detector): HDF5Data and AnnotatedData read boxes",
    .outlines { fields, _ in
      let source = source(fields.parameter)
      return fields.parameter.top.indices.map(source.outline)
    })
}
