import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// What Caffe does to a record on its way into a blob: (value - mean) * scale, cut to the crop, mirrored; see `Framing`.
struct Transform: Sendable {
  private enum Mean: Sendable {
    case none
    /// One for each channel.
    case values([Float])
    /// C x H x W of the record before the crop.
    case image([Float])
  }

  /// C x H x W of the first record.
  private let record: Shape
  private let scale: Float
  private let mean: Mean
  let framing: Framing
  private var crop: Crop? { framing.crop }

  /// What each record becomes, C x H x W.
  var output: Shape { crop.map { [record[0], $0.height, $0.width] } ?? record }

  /// - Parameters:
  ///   - record: C x H x W of the first record.
  ///   - sizesVary: whether that is only the size of the first of many.
  /// - Throws: a fault of the layer when crop or mean do not fit the records.
  init(_ fields: LayerFields, record: Shape, sizesVary: Bool = false) throws {
    let param = fields.parameter.transformParam
    self.record = record
    scale = param.scale
    framing = try Framing(fields)
    if !sizesVary { try framing.crop?.check(fields, record) }
    mean = try Transform.mean(fields, record: record)
  }

  /// Why a record of this shape cannot be used; nil when it can. Records need one shape, but for the heights and
  /// widths that a crop cuts to its own.
  func misfit(_ shape: Shape) -> String? {
    if shape == record, crop == nil { return nil }
    if let crop, shape[0] == record[0] {
      if shape[1] < crop.height || shape[2] < crop.width {
        return "is \(shape), smaller than the crop of \(crop.height)x\(crop.width)"
      }
      if case .image = mean, shape != record { return "is \(shape), but the mean image is \(record)" }
      return nil
    }
    return "is \(shape), but the first record is \(record); all must have one shape"
  }

  private static func mean(_ fields: LayerFields, record: Shape) throws -> Mean {
    let param = fields.parameter.transformParam
    guard param.hasMeanFile else {
      let values = param.meanValue
      guard values.isEmpty || values.count == 1 || values.count == record[0] else {
        throw fields.fault(
          "\(values.count) mean_value are given for \(record[0]) channels; give one, or one per channel",
          at: "transform_param.mean_value[0]")
      }
      if values.isEmpty { return .none }
      return .values(values.count == 1 ? [Float](repeating: values[0], count: record[0]) : values)
    }
    guard param.meanValue.isEmpty else {
      throw fields.fault("give either mean_file or mean_value, not both", at: "transform_param.mean_value[0]")
    }
    let path = fields.existingPath(param.meanFile)
    let blob: BlobProto
    do {
      blob = try readBinary(path, as: BlobProto.self)
    } catch let fault as Diagnostic {
      throw fault.within(layer: fields.identity, at: fields.location("transform_param.mean_file"))
    }
    guard blob.dims.suffix(3) == record.dims[...], blob.valueCount == record.count else {
      throw fields.fault(
        .badShape, "the mean in '\(path)' is \(Shape(blob.dims)), but the records are \(record)",
        at: "transform_param.mean_file")
    }
    return .image(blob.values)
  }

  /// Writes one record into `output`, laid out as the blob is.
  ///
  /// - Parameters:
  ///   - values: the record's values; value (c, h, w) is at `values[c * channelStride + h * rowStride + w * columnStride]`.
  ///   - shape: of the record.
  ///   - draws: the record's own stream.
  func apply<Value>(
    _ values: UnsafePointer<Value>, _ shape: Shape, _ strides: Strides, draws: RandomStream,
    into output: UnsafeMutablePointer<Float>, float: (Value) -> Float
  ) {
    let (height, width) = (crop?.height ?? shape[1], crop?.width ?? shape[2])
    let (top, left) = framing.cropOrigin(height: shape[1], width: shape[2], draws)
    let isMirrored = framing.isMirrored(draws)
    for c in 0..<shape[0] {
      for h in 0..<height {
        let source = values + c * strides.channel + (top + h) * strides.row + left * strides.column
        let row = output + (c * height + h) * width
        for w in 0..<width { row[w] = float(source[w * strides.column]) }
        subtractMean(row, c, top + h, left, width)
        if scale != 1 { for w in 0..<width { row[w] *= scale } }
        if isMirrored {
          var values = UnsafeMutableBufferPointer(start: row, count: width)
          values.reverse()
        }
      }
    }
  }

  private func subtractMean(_ row: UnsafeMutablePointer<Float>, _ c: Int, _ h: Int, _ left: Int, _ width: Int) {
    switch mean {
    case .none: break
    case .values(let values):
      let value = values[c]
      for w in 0..<width { row[w] -= value }
    case .image(let image):
      image.withUnsafeBufferPointer { image in
        let start = (c * record[1] + h) * record[2] + left
        for w in 0..<width { row[w] -= image[start + w] }
      }
    }
  }

  /// Where the next channel, row and column lie in a record.
  struct Strides {
    var channel: Int
    var row: Int
    var column: Int

    /// A plane for each channel.
    static func planes(_ record: Shape) -> Strides {
      Strides(channel: record[1] * record[2], row: record[2], column: 1)
    }

    /// The channels of a pixel side by side.
    static func pixels(_ record: Shape) -> Strides {
      Strides(channel: 1, row: record[2] * record[0], column: record[0])
    }
  }
}

extension LayerFields {
  /// The first place where `path` exists; `path` itself when there is none, for the error that follows.
  func existingPath(_ path: String) -> String {
    paths.candidates(for: path).first(where: exists) ?? path
  }
}
