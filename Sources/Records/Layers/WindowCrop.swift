import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Cuts one window out of its image and warps it to the size of the blob.
struct WindowCrop: Sendable {
  private let size: Int
  private let contextPad: Int
  private let isSquare: Bool
  private let scale: Float
  private let channels: Int
  /// Per channel, size x size: what is subtracted.
  private let mean: [Float]

  /// The values of one window.
  var count: Int { channels * size * size }

  /// - Throws: a fault of the layer for a mean that does not fit.
  init(_ fields: LayerFields, channels: Int) throws {
    let param = fields.parameter.windowDataParam
    size = Int(fields.parameter.transformParam.cropSize)
    contextPad = Int(param.contextPad)
    isSquare = param.cropMode == "square"
    // Caffe reads the scale of window_data_param; older files are upgraded to have it in transform_param.
    scale = param.hasScale ? param.scale : fields.parameter.transformParam.scale
    self.channels = channels
    mean = try WindowCrop.mean(fields, channels: channels, size: size)
  }

  /// The central part of the mean image, or the mean values over all.
  private static func mean(_ fields: LayerFields, channels: Int, size: Int) throws -> [Float] {
    let transform = fields.parameter.transformParam
    guard transform.hasMeanFile else {
      let values = transform.meanValue
      guard values.isEmpty || values.count == 1 || values.count == channels else {
        throw fields.fault(
          "\(values.count) mean_value are given for \(channels) channels; give one, or one per channel",
          at: "transform_param.mean_value[0]")
      }
      return (0..<channels).flatMap { channel in
        [Float](repeating: values.isEmpty ? 0 : values[values.count == 1 ? 0 : channel], count: size * size)
      }
    }
    guard transform.meanValue.isEmpty else {
      throw fields.fault("give either mean_file or mean_value, not both", at: "transform_param.mean_value[0]")
    }
    let path = fields.existingPath(transform.meanFile)
    do {
      let blob = try readBinary(path, as: BlobProto.self)
      let dims = Array(blob.dims.suffix(3))
      guard dims.count == 3, dims[0] == channels, dims[1] >= size, dims[2] >= size, blob.valueCount == dims.reduce(1, *)
      else {
        throw Diagnostic(
          .badShape, "the mean in '\(path)' is \(Shape(blob.dims)); at least \(channels)x\(size)x\(size) is wanted")
      }
      let values = blob.values
      let offset = (dims[2] - size) / 2
      guard dims[1] >= size + offset else {
        throw Diagnostic(.badShape, "the mean in '\(path)' is \(Shape(blob.dims)), too flat to cut a square from")
      }
      return (0..<channels).flatMap { channel in
        (0..<size).flatMap { row in
          let start = (channel * dims[1] + row + offset) * dims[2] + offset
          return values[start..<start + size]
        }
      }
    } catch let fault as Diagnostic {
      throw fault.within(layer: fields.identity, at: fields.location("transform_param.mean_file"))
    }
  }

  /// Where a window's part of the image goes.
  struct Placement: Equatable {
    /// The part of the image.
    var x1: Int
    var y1: Int
    var x2: Int
    var y2: Int
    /// Its size in the blob, and the margins above and to its left.
    var height: Int
    var width: Int
    var top: Int
    var left: Int
  }

  /// With the rounding of Caffe's window_data_layer, in 4-byte floats.
  func place(_ window: WindowFile.Window, height: Int, width: Int, isMirrored: Bool) -> Placement {
    guard contextPad > 0 || isSquare else {
      return Placement(
        x1: window.x1, y1: window.y1, x2: window.x2, y2: window.y2, height: size, width: size, top: 0, left: 0)
    }
    let contextScale = Float(size) / Float(size - 2 * contextPad)
    var halfHeight = Float(window.y2 - window.y1 + 1) / 2
    var halfWidth = Float(window.x2 - window.x1 + 1) / 2
    let centerX = Float(window.x1) + halfWidth
    let centerY = Float(window.y1) + halfHeight
    if isSquare { (halfHeight, halfWidth) = (max(halfHeight, halfWidth), max(halfHeight, halfWidth)) }
    var (x1, x2) = (nearest(centerX - halfWidth * contextScale), nearest(centerX + halfWidth * contextScale))
    var (y1, y2) = (nearest(centerY - halfHeight * contextScale), nearest(centerY + halfHeight * contextScale))
    let scaleX = Float(size) / Float(x2 - x1 + 1)
    let scaleY = Float(size) / Float(y2 - y1 + 1)
    // What of it lies outside the image.
    let outside = (
      left: max(0, -x1), top: max(0, -y1), right: max(0, x2 - width + 1), bottom: max(0, y2 - height + 1)
    )
    (x1, y1, x2, y2) = (x1 + outside.left, y1 + outside.top, x2 - outside.right, y2 - outside.bottom)
    let top = nearest(Float(outside.top) * scaleY)
    let left = nearest(Float(isMirrored ? outside.right : outside.left) * scaleX)
    return Placement(
      x1: x1, y1: y1, x2: x2, y2: y2, height: min(nearest(Float(y2 - y1 + 1) * scaleY), size - top),
      width: min(nearest(Float(x2 - x1 + 1) * scaleX), size - left), top: top, left: left)
  }

  /// - Throws: `badRecord` when the window lies outside its image.
  func write(
    _ window: WindowFile.Window, of image: Image, isMirrored: Bool, into output: UnsafeMutablePointer<Float>
  ) throws {
    output.update(repeating: 0, count: count)
    let place = place(window, height: image.height, width: image.width, isMirrored: isMirrored)
    guard place.x1 >= 0, place.y1 >= 0, place.x2 < image.width, place.y2 < image.height, place.x2 >= place.x1,
      place.y2 >= place.y1
    else {
      throw Diagnostic(
        .badRecord,
        "the window (\(window.x1), \(window.y1)) to (\(window.x2), \(window.y2)) lies outside it; it is "
          + "\(image.height) high and \(image.width) wide")
    }
    guard place.height > 0, place.width > 0 else { return }
    var part = image.cropped(
      top: place.y1, left: place.x1, height: place.y2 - place.y1 + 1, width: place.x2 - place.x1 + 1
    ).resized(height: place.height, width: place.width)
    if isMirrored { part = part.mirrored }
    part.pixels.withUnsafeBufferPointer { pixels in
      mean.withUnsafeBufferPointer { mean in
        for channel in 0..<channels {
          for row in 0..<place.height {
            let start = (channel * size + row + place.top) * size + place.left
            for column in 0..<place.width {
              let pixel = Float(pixels[(row * place.width + column) * channels + channel])
              output[start + column] = (pixel - mean[start + column]) * scale
            }
          }
        }
      }
    }
  }
}

/// Halves go away from zero, as C's `round` has it.
private func nearest(_ value: Float) -> Int { Int(value.rounded(.toNearestOrAwayFromZero)) }
