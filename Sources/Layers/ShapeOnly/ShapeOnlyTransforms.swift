import CaffeSchema
import Nets
import Tensors

/// Layers of single forks that turn blobs into others.
let shapeOnlyTransforms: [ShapeOnlyType] =
  [
    ("Debug", "it keeps blobs for one fork's debugger; leave it out"),
    ("GlobalLSEMargin", "one fork's margin on class scores; MarginInnerProduct has one"),
    ("MultiStageMeanfield", "the conditional random field of one fork is not made here"),
    ("Quantize", "one fork's step function of labels; prepare them in the data"),
    ("Rescale", "one fork's step function of labels; prepare them in the data"),
    ("TransformerBlock", "attention is not made here"),
  ].map { ShapeOnlyType($0, bottoms: 1...3, tops: 1...2, $1, .likeBottoms) } + [
    ShapeOnlyType(
      "Decode", bottoms: 2...2, tops: 1...1, "distances to one fork's class centres; CenterLoss learns centres",
      .top { _, bottoms in [bottoms[0].extent(0), 10] }),
    ShapeOnlyType(
      "Knn", bottoms: 2...2, "it looks for neighbours among stored batches of one fork",
      .top { _, bottoms in [bottoms[0].extent(0), 10] }),
    ShapeOnlyType(
      "TRT", bottoms: 1...Int.max, "it runs a net by TensorRT; run the net itself", .oneValue),
    ShapeOnlyType(
      "DetectNetTransformation", bottoms: 2...2, tops: 2...2, "DetectNet's targets are not made here",
      .shapes { fields, bottoms in
        let truth = fields.parameter.detectnetGroundtruthParam
        let size = [Int(truth.imageSizeY), Int(truth.imageSizeX)]
        let stride = max(1, Int(truth.stride))
        // Foreground, four corners, size and count, and the coverage of each class.
        let grid = [bottoms[0].extent(0), 8 + max(1, truth.objectClass.count)] + size.map { $0 / stride }
        return LayerShapes(tops: [Shape([bottoms[0].extent(0), 3] + size), Shape(grid)])
      }),
    ShapeOnlyType(
      "MaskPooling", bottoms: 2...3, "masks of one fork's regions; Eltwise multiplies blobs of one shape",
      .top { _, bottoms in bottoms[0] }),
    ShapeOnlyType(
      "PriorBoxClustered", bottoms: 2...2, "boxes of listed sizes are made by one program alone; PriorBox makes SSD's",
      .top { fields, bottoms in
        let sizes = max(1, fields.parameter.priorBoxParam.width.count)
        return [1, 2, bottoms[0].extent(2) * bottoms[0].extent(3) * sizes * 4]
      }),
    ShapeOnlyType(
      "Proposal", bottoms: 3...4, tops: 1...2, "a Python layer of class ProposalLayer makes py-faster-rcnn's regions",
      .shapes { fields, _ in
        let rows = max(1, Int(fields.parameter.proposalParam.postNmsTopn))
        return LayerShapes(tops: Array([[rows, 5], [rows, 1]].prefix(fields.parameter.top.count)))
      }),
    ShapeOnlyType(
      "ROIWarping", bottoms: 2...3, "one fork's sampling of regions; ROIAlign and ROIPooling sample them",
      .top { fields, bottoms in
        let param = fields.parameter.roiWarpingParam
        return [bottoms[1].extent(0), bottoms[0].extent(1), Int(param.pooledH), Int(param.pooledW)]
      }),
    ShapeOnlyType(
      "ResizeNearestNeighbor", "Upsample and Interp enlarge",
      .top { fields, bottoms in
        let param = fields.parameter.resizeNearestNeighborParam
        let isChannelsLast = param.dataFormat == "NHWC"
        let (height, width) = isChannelsLast ? (1, 2) : (2, 3)
        var top = bottoms[0].dims + [Int](repeating: 1, count: max(0, 4 - bottoms[0].rank))
        top[height] = param.hasOutputHeight ? Int(param.outputHeight) : Int(Float(top[height]) * param.scaleHeight)
        top[width] = param.hasOutputWidth ? Int(param.outputWidth) : Int(Float(top[width]) * param.scaleWidth)
        return Shape(top)
      }),
    ShapeOnlyType(
      "MultiROIPooling", bottoms: 2...2, tops: 1...Int.max, "several ROIPooling layers compute it",
      .top { fields, bottoms in
        let param = fields.parameter.multiRoiPoolingParam
        return [bottoms[0].extent(0), bottoms[0].extent(1), Int(param.pooledH), Int(param.pooledW)]
      }),
  ]
