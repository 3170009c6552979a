import CaffeSchema
import Nets
import Tensors

/// Layers of single forks that read data. What their fields do not tell of the tops is open.
let shapeOnlySources: [ShapeOnlyType] = [
  source("CPMData", "its poses and maps are not made here; HDF5Data reads prepared ones") { fields in
    let param = fields.parameter.cpmTransformParam
    let batch = Int(fields.parameter.dataParam.batchSize)
    // Behind the three of the image, a fourth for the place of the person.
    return [.images(batch: batch, height: Int(param.cropSizeY), width: Int(param.cropSizeX)), .unknown]
  },
  source("CoSData", "Data, ImageData and HDF5Data read what Spark would feed") { fields in
    let param = fields.parameter.cosDataParam
    let batch = Int(param.batchSize)
    return param.top.map { top in
      let extents = [
        top.hasOutChannels ? top.outChannels : top.channels, top.hasOutHeight ? top.outHeight : top.height,
        top.hasOutWidth ? top.outWidth : top.width,
      ].map(Int.init)
      let isImage = [.rawImage, .encodedImage, .encodedImageWithDim].contains(top.type)
      if isImage { return .exactly(Shape([batch] + extents)) }
      if top.transpose { return .exactly([extents[0], batch]) }
      return .exactly(extents[0] > 1 ? [batch, extents[0]] : [batch])
    }
  },
  source("DataHeatmap", "HDF5Data reads images with maps") { fields in
    let param = fields.parameter.heatmapDataParam
    let batch = Int(param.batchsize)
    return [
      image(batch: param.batchsize, height: param.cropsize, width: param.cropsize),
      TopOutline([batch, nil, Int(param.labelHeight), Int(param.labelWidth)]),
    ]
  },
  source("DenseImageData", "HDF5Data reads images with maps of labels") { fields in
    let param = fields.parameter.denseImageDataParam
    let sides = [param.newHeight, param.newWidth].map { $0 > 0 ? Int($0) : nil }
    let factor = max(1, Int(param.labelDivideFactor))
    return [
      .images(batch: Int(param.batchSize), channels: 3, height: sides[0], width: sides[1]),
      TopOutline([Int(param.batchSize), 1] + sides.map { $0.map { $0 / factor } }),
    ]
  },
  source("DriveData", "data of one fork's detector; HDF5Data reads prepared ones") { fields in
    let param = fields.parameter.driveDataParam
    return [image(batch: fields.parameter.dataParam.batchSize, height: param.croppedHeight, width: param.croppedWidth)]
  },
  source("HumanAttData", "ImageData reads lists with several labels a line") { fields in
    let param = fields.parameter.humanAttDataParam
    let batch = Int(param.batchSize)
    return [
      fields.parameter.transformParam.imageOutline(
        batch: batch, channels: 3, height: param.newHeight, width: param.newWidth),
      .exactly([batch, Int(param.attNum), 1, 1]),
    ]
  },
  source("ImageLabelmapData", "HDF5Data reads images with maps of labels") { fields in
    let param = fields.parameter.imageDataParam
    let batch = Int(param.batchSize)
    let size = fields.parameter.transformParam.imageOutline(
      batch: batch, channels: param.isColor ? 3 : 1, height: param.newHeight, width: param.newWidth)
    return [size, TopOutline([batch, 1, size.extents?[2], size.extents?[3]].map { $0 ?? nil })]
  },
  source("ImageSegData", "HDF5Data reads images with maps of labels") { fields in
    let param = fields.parameter.imageDataParam
    let batch = Int(param.batchSize)
    let size = fields.parameter.transformParam.imageOutline(
      batch: batch, channels: param.isColor ? 3 : 1, height: param.newHeight, width: param.newWidth)
    return [size, TopOutline([batch, 1, size.extents?[2], size.extents?[3]].map { $0 ?? nil })]
  },
  ShapeOnlyType(
    "DataSequence", bottoms: 2...2, tops: 1...Int.max,
    "one fork's drawing of triplets; TripletLoss takes three branches",
    .shapes { fields, bottoms in
      LayerShapes(
        tops: fields.parameter.top.indices.map { top in
          top < 3 ? bottoms[0] : [bottoms[0].extent(0), 3]
        })
    }),
  source("VideoData", "HDF5Data reads prepared clips") { fields in
    let param = fields.parameter.videoDataParam
    let batch = Int(param.hasBatchSize ? param.batchSize : fields.parameter.dataParam.batchSize)
    let frame = fields.parameter.transformParam.imageOutline(
      batch: batch, height: param.newHeight, width: param.newWidth)
    let sides = Array((frame.extents ?? []).suffix(2))
    // One fork stacks the frames of a flow as channels, others keep an axis of frames.
    let isFlow = param.hasModality || param.hasNamePattern || param.hasNumSegments
    let channels = param.modality == .flow ? 2 : 3
    let clip =
      isFlow
      ? TopOutline([batch, channels * Int(param.newLength) * Int(param.numSegments)] + sides)
      : TopOutline([batch, 3, Int(param.newLength)] + sides)
    return [clip, .exactly([batch])]
  },
]

/// The first tops as `outlines` tells them, further ones open.
private func source(
  _ type: String, _ remark: String, _ outlines: @escaping @Sendable (LayerFields) -> [TopOutline]
) -> ShapeOnlyType {
  ShapeOnlyType(
    type, role: .data, bottoms: 0...0, tops: 1...Int.max, remark,
    .outlines { fields, _ in
      let known = outlines(fields)
      return fields.parameter.top.indices.map { known.indices.contains($0) ? known[$0] : .unknown }
    })
}

private func image(batch: UInt32, height: UInt32, width: UInt32) -> TopOutline {
  .images(
    batch: Int(batch), channels: 3, height: height > 0 ? Int(height) : nil, width: width > 0 ? Int(width) : nil)
}
