import CaffeSchema
import Nets
import Tensors

/// Layers of single forks that turn blobs into others.
let shapeOnlyTransforms: [ShapeOnlyType] =
  [
    ("Debug", "it keeps blobs for one fork's debugger; leave it out"),
    ("GlobalLSEMargin", "one fork's margin on class scores; MarginInnerProduct has one"),
    ("LayerNorm", "MVN with across_channels normalises each record"),
    ("MultiStageMeanfield", "the conditional random field of one fork is not made here"),
    ("Norm", "Normalize with normalize_param scales each record to length 1"),
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
      "SpatialTransformer", bottoms: 2...2, "sampling on a predicted grid is not made here",
      .top { fields, bottoms in
        let param = fields.parameter.stParam
        let height = param.hasOutputH ? Int(param.outputH) : bottoms[0].extent(2)
        let width = param.hasOutputW ? Int(param.outputW) : bottoms[0].extent(3)
        return [bottoms[0].extent(0), bottoms[0].extent(1), height, width]
      }),
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
      "LargeMarginInnerProduct", bottoms: 2...2, tops: 1...2, "MarginInnerProduct computes it",
      .shapes { fields, bottoms in
        let outputs = Int(fields.parameter.largemarginInnerProductParam.numOutput)
        let inputs = bottoms[0].count / max(1, bottoms[0].extent(0))
        return LayerShapes(
          tops: fields.parameter.top.indices.map { $0 == 0 ? [bottoms[0].extent(0), outputs] : [1] },
          parameters: [.init(name: "weights", shape: [outputs, inputs], filler: FillerParameter())])
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
    ShapeOnlyType(
      "NNInterp", "Interp and Upsample enlarge",
      .top { fields, bottoms in
        let param = fields.parameter.nninterpParam
        return [bottoms[0].extent(0), bottoms[0].extent(1), Int(param.height), Int(param.width)]
      }),
  ]
