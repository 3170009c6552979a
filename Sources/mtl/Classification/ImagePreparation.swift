import CaffeSchema
import Diagnostics
import Nets
import Records
import Tensors

/// How a picture becomes the values of a net's input: brought to its size, the mean taken off, scaled.
struct ImagePreparation {
  /// What is subtracted.
  enum Mean {
    case none
    case channels([Float])
    /// C x H x W of the input.
    case image([Float])
  }

  /// C x H x W.
  let shape: Shape
  let mean: Mean
  let scale: Float

  /// - Parameters:
  ///   - input: N x C x H x W, with C 1 or 3.
  ///   - mean: a .binaryproto, or a value for each channel (or one for all) with commas; nil takes what `weights` say.
  ///   - weights: a net that was trained, whose data layer's transform_param is taken where the caller says nothing.
  init(input: Shape, mean: String?, scale: Float?, weights: NetParameter) throws {
    guard input.rank == 4, [1, 3].contains(input[1]) else {
      throw Diagnostic(
        .badShape, "pictures need an input N x 1 x H x W or N x 3 x H x W, but the net's is \(input)")
    }
    shape = [input[1], input[2], input[3]]
    let learned = ImagePreparation.transform(of: weights)
    self.scale = scale ?? learned?.scale ?? 1
    if let mean {
      self.mean = try ImagePreparation.mean(mean, shape)
    } else if let values = learned?.meanValue, !values.isEmpty {
      self.mean = try ImagePreparation.channels(values, shape)
    } else if let file = learned?.meanFile, !file.isEmpty {
      self.mean = try ImagePreparation.mean(file, shape)
    } else {
      self.mean = .none
    }
  }

  /// Of the layer that read the records in testing, or in training.
  private static func transform(of net: NetParameter) -> TransformationParameter? {
    let readers = net.layer.filter { $0.bottom.isEmpty && $0.hasTransformParam }
    let testing = readers.first { $0.include.contains { $0.hasPhase && $0.phase == .test } }
    return (testing ?? readers.first)?.transformParam
  }

  private static func mean(_ text: String, _ shape: Shape) throws -> Mean {
    let numbers = text.split(separator: ",", omittingEmptySubsequences: false).map { Float($0) }
    if !numbers.contains(nil) { return try channels(numbers.compactMap { $0 }, shape) }
    let blob = try readBinary(text, as: BlobProto.self)
    let (values, dims) = (blob.values, Array(blob.dims.suffix(3)))
    if dims == shape.dims, values.count == shape.count { return .image(values) }
    guard dims.count == 3, dims[0] == shape[0], values.count == dims.reduce(1, *) else {
      throw Diagnostic(.badShape, "the mean in '\(text)' is \(Shape(blob.dims)), but the input is \(shape)")
    }
    // A mean of another size counts channel by channel, as in Caffe's example.
    let area = dims[1] * dims[2]
    return .channels(
      (0..<dims[0]).map { channel in
        Float(values[channel * area..<(channel + 1) * area].reduce(0.0) { $0 + Double($1) } / Double(area))
      })
  }

  private static func channels(_ values: [Float], _ shape: Shape) throws -> Mean {
    guard values.count == 1 || values.count == shape[0] else {
      throw Diagnostic(
        .badArgument, "\(values.count) mean values are given for \(shape[0]) channels; give one, or one for each")
    }
    return .channels(values.count == 1 ? [Float](repeating: values[0], count: shape[0]) : values)
  }

  /// The input's values for a picture.
  func values(of image: Image) -> [Float] {
    let planes = image.resized(height: shape[1], width: shape[2]).planes
    let area = shape[1] * shape[2]
    return planes.indices.map { index in
      let value = Float(planes[index])
      switch mean {
      case .none: return value * scale
      case .channels(let means): return (value - means[index / area]) * scale
      case .image(let means): return (value - means[index]) * scale
      }
    }
  }
}
