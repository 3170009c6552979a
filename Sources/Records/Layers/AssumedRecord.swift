import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// What a record is taken to be where its source is absent, for inferring the shapes of a net: what the layer's
/// parameters tell, and guesses for the rest.
struct AssumedRecord {
  private let fields: LayerFields
  private var guesses: [String] = []
  /// C x H x W after `transform_param`.
  private(set) var output: Shape

  /// - Parameters:
  ///   - channels, height, width: of the record, where the layer's own fields give them.
  init(_ fields: LayerFields, channels: Int? = nil, height: Int? = nil, width: Int? = nil) {
    self.fields = fields
    let transform = fields.parameter.transformParam
    let mean = transform.hasMeanFile ? AssumedRecord.mean(fields.existingPath(transform.meanFile)) : nil
    let sides = AssumedRecord.sides(transform)
    output = [3, 224, 224]
    if let known = channels ?? transform.decodedChannels ?? mean?[0] ?? transform.channelsOfMean {
      output[0] = known
    } else {
      guesses.append("channels")
    }
    if let known = sides?.height ?? height ?? mean?[1] { output[1] = known } else { guesses.append("height") }
    if let known = sides?.width ?? width ?? mean?[2] { output[2] = known } else { guesses.append("width") }
  }

  /// What every record is brought to.
  private static func sides(_ param: TransformationParameter) -> (height: Int, width: Int)? {
    let crops = [(param.cropSize, param.cropSize), (param.cropH, param.cropW), (param.cropHeight, param.cropWidth)]
    if let crop = crops.first(where: { $0.0 > 0 && $0.1 > 0 }) { return (Int(crop.0), Int(crop.1)) }
    guard let resize = param.resizeParam.first, resize.height > 0, resize.width > 0 else { return nil }
    return (Int(resize.height), Int(resize.width))
  }

  private static func mean(_ path: String) -> [Int]? {
    guard exists(path), let blob = try? readBinary(path, as: BlobProto.self), blob.dims.count >= 3 else { return nil }
    return Array(blob.dims.suffix(3))
  }

  /// One label for each record.
  mutating func guessLabels() {
    output = [1, 1, 1]
    guesses = ["one label for each record"]
  }

  mutating func guess(_ what: String) { guesses = [what] }

  /// Whether a top seems to hold labels and no pictures.
  func isLabels(top index: Int) -> Bool { fields.parameter.top[index].lowercased().contains("label") }

  func warning(source: String, at field: String) -> Diagnostic {
    let known =
      guesses.isEmpty ? "come from the layer's parameters" : "are guessed (\(guesses.joined(separator: ", ")))"
    return Diagnostic(
      .assumed, "'\(source)' is not there, so shapes \(known)", severity: .warning, layer: fields.identity,
      at: fields.location(field))
  }
}

extension TransformationParameter {
  /// Channels that decoding is told to give.
  fileprivate var decodedChannels: Int? { forceGray ? 1 : forceColor ? 3 : nil }

  /// One mean_value may stand for any number of channels.
  fileprivate var channelsOfMean: Int? { meanValue.count > 1 ? meanValue.count : nil }
}

extension LayerFields {
  /// Whether the layer's source can be read: false only where it may be absent, and is.
  func hasSource(_ path: String) -> Bool { sources == .required || exists(path) }
}
