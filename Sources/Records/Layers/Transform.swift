import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// What `transform_param` does to a record on its way into a blob: (value - mean) * scale, cut to `crop_size`, mirrored.
///
/// In TRAIN the crop's place is drawn, in TEST it is the centre; whether to mirror is drawn in both, as in Caffe.
struct Transform: Sendable {
  private enum Mean: Sendable {
    case none
    /// One for each channel.
    case values([Float])
    /// C x H x W of the record before the crop.
    case image([Float])
  }

  /// The extents of records, C x H x W.
  let record: Shape
  private let scale: Float
  private let mean: Mean
  private let crop: Int
  private let mirrors: Bool
  private let isTraining: Bool

  /// What one record becomes, C x H x W.
  var output: Shape { crop == 0 ? record : [record[0], crop, crop] }

  /// - Parameter record: C x H x W of the first record.
  /// - Throws: a fault of the layer when crop or mean do not fit the records.
  init(_ fields: LayerFields, record: Shape) throws {
    let param = fields.parameter.transformParam
    self.record = record
    scale = param.scale
    crop = Int(param.cropSize)
    mirrors = param.mirror
    isTraining = fields.phase == .train
    guard crop <= record[1], crop <= record[2] else {
      throw fields.fault("crop_size \(crop) is larger than the records, \(record)", at: "transform_param.crop_size")
    }
    mean = try Transform.mean(fields, record: record)
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
  ///   - draws: the record's own stream.
  func apply<Value>(
    _ values: UnsafePointer<Value>, strides: Strides, draws: RandomStream, into output: UnsafeMutablePointer<Float>,
    float: (Value) -> Float
  ) {
    let height = crop == 0 ? record[1] : crop
    let width = crop == 0 ? record[2] : crop
    let top = crop == 0 ? 0 : isTraining ? draws.integer(0, below: record[1] - crop + 1) : (record[1] - crop) / 2
    let left = crop == 0 ? 0 : isTraining ? draws.integer(1, below: record[2] - crop + 1) : (record[2] - crop) / 2
    let isMirrored = mirrors && draws.integer(2, below: 2) == 1
    for c in 0..<record[0] {
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
