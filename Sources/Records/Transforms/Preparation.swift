import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// All that `transform_param` does to a record between its source and its blob: first, for pictures, what SSD added
/// (distort, expand, resize, noise), then Caffe's own crop, mirror, mean and scale.
struct Preparation: Sendable {
  /// Why a record cannot be used, to be said of it.
  struct Misfit: Error {
    let reason: String
  }

  let augmentation: Augmentation
  let transform: Transform

  /// What each record becomes, C x H x W.
  var output: Shape { transform.output }

  /// - Parameter record: C x H x W of the first record.
  /// - Throws: a fault of the layer when a field cannot be followed, or does not fit the records.
  init(_ fields: LayerFields, record: Shape) throws {
    try fields.refuseForeignTransforms()
    augmentation = try Augmentation(fields, record: record)
    transform = try Transform(fields, record: augmentation.output ?? record, sizesVary: augmentation.sizesVary)
  }

  /// The same without reading the mean.
  ///
  /// - Throws: a fault of the layer for fields that contradict each other or the records.
  static func output(_ fields: LayerFields, record: Shape) throws -> Shape {
    let resized = try ImageResizing(fields, record: record)
    let sides = resized?.output ?? (height: record[1], width: record[2])
    return try Crop(fields).map { crop in
      if resized?.sizesVary != true { try crop.check(fields, [record[0], sides.height, sides.width]) }
      return [record[0], crop.height, crop.width]
    } ?? [record[0], sides.height, sides.width]
  }

  /// Writes one record into `output`, laid out as the blob is.
  ///
  /// - Parameter draws: the record's own stream.
  func run(_ values: RecordValues, draws: RandomStream, into output: UnsafeMutablePointer<Float>) throws(Misfit) {
    var values = values
    if augmentation.isActive {
      guard let image = values.image else {
        throw Misfit(
          reason: "is \(values.shape) and no picture of 1 or 3 channels of bytes, as the fields of transform_param need"
        )
      }
      var dice = Dice(draws, part: "augmentation")
      values = RecordValues(try augmentation.apply(image, &dice))
    }
    if let reason = transform.misfit(values.shape) { throw Misfit(reason: reason) }
    write(values, draws, into: output)
  }

  /// Crop, mirror, mean and scale alone, of a record that fits.
  func write(_ values: RecordValues, _ draws: RandomStream, into output: UnsafeMutablePointer<Float>) {
    switch values.storage {
    case .planes(let bytes):
      bytes.withUnsafeBytes { bytes in
        guard let base = bytes.bindMemory(to: UInt8.self).baseAddress else { return }
        transform.apply(base, values.shape, .planes(values.shape), draws: draws, into: output, float: Float.init)
      }
    case .image(let image):
      image.pixels.withUnsafeBufferPointer { pixels in
        guard let base = pixels.baseAddress else { return }
        transform.apply(base, values.shape, .pixels(values.shape), draws: draws, into: output, float: Float.init)
      }
    case .floats(let floats):
      floats.withUnsafeBufferPointer { floats in
        guard let base = floats.baseAddress else { return }
        transform.apply(base, values.shape, .planes(values.shape), draws: draws, into: output) { $0 }
      }
    }
  }
}

/// Draws one after the other from a record's stream, for what needs a varying number of them.
struct Dice {
  private let stream: RandomStream
  private var next = 0

  /// - Parameter part: tells this use of the stream from others.
  init(_ stream: RandomStream, part: String) {
    self.stream = RandomStream(seed: stream.bits(1 << 20), RandomStream.part(part))
  }

  /// Uniform in [low, high).
  mutating func uniform(_ low: Float, _ high: Float) -> Float {
    defer { next += 1 }
    return low + (high - low) * stream.uniform(next)
  }

  /// Uniform in 0 ..< bound.
  mutating func integer(below bound: Int) -> Int {
    defer { next += 1 }
    return stream.integer(next, below: bound)
  }

  mutating func happens(_ probability: Float) -> Bool { uniform(0, 1) < probability }
}
