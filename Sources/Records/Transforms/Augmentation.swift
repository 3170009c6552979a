import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// What SSD's fields of `transform_param` do to a picture before Caffe's own: `distort_param`, `expand_param`,
/// `resize_param`, `noise_param`, in this order.
///
/// SSD's Data and ImageData layers take the last two alone and its AnnotatedData layer all; here every layer that reads
/// pictures takes all.
struct Augmentation: Sendable {
  let distortion: ImageDistortion?
  let expansion: ImageExpansion?
  let resizing: ImageResizing?
  let noise: ImageNoise?
  /// C x H x W of what comes out; nil when nothing changes it.
  let output: Shape?

  var isActive: Bool { distortion != nil || expansion != nil || resizing != nil || noise != nil }
  /// Whether pictures come out in several sizes, from which the crop takes one.
  var sizesVary: Bool { resizing.map(\.sizesVary) ?? (expansion != nil) }

  /// - Parameter record: C x H x W of the first record.
  /// - Throws: a fault of the layer for fields that cannot be followed.
  init(_ fields: LayerFields, record: Shape) throws {
    distortion = try ImageDistortion(fields)
    expansion = try ImageExpansion(fields, channels: record[0])
    resizing = try ImageResizing(fields, record: record)
    noise = try ImageNoise(fields, channels: record[0])
    output = resizing.map { [record[0], $0.output.height, $0.output.width] }
    if sizesVary, try Crop(fields) == nil {
      let field = resizing == nil ? "expand_param" : "resize_param[0].resize_mode"
      throw fields.fault(
        "gives images of several sizes; add \(resizing == nil ? "resize_param" : "crop_size") to make them one",
        at: "transform_param.\(field)")
    }
  }

  /// The picture that comes out.
  func apply(_ image: Image, _ dice: inout Dice) throws(Preparation.Misfit) -> Image {
    var image = image
    if let distortion { image = distortion.apply(image, &dice) }
    if let expansion { image = expansion.apply(image, &dice).image }
    if let resizing { image = resizing.apply(image, &dice).image }
    return try noise?.apply(image, &dice) ?? image
  }
}

/// How points of a picture move when it is cut, padded or resized. Points are relative to the picture's sides, from 0 to
/// 1; new = old * scale + offset.
struct BoxFrame: Equatable, Sendable {
  var scale: (x: Float, y: Float) { (scaleX, scaleY) }
  private var scaleX: Float
  private var scaleY: Float
  private var offsetX: Float
  private var offsetY: Float

  static let same = BoxFrame(scale: (1, 1), offset: (0, 0))

  init(scale: (x: Float, y: Float), offset: (x: Float, y: Float)) {
    (scaleX, scaleY) = scale
    (offsetX, offsetY) = offset
  }

  /// Of a window of the picture (its corners relative to the picture, which it may reach beyond).
  init(window: Box) {
    let (width, height) = (window.xmax - window.xmin, window.ymax - window.ymin)
    self.init(scale: (1 / width, 1 / height), offset: (-window.xmin / width, -window.ymin / height))
  }

  func move(_ box: Box) -> Box {
    Box(
      xmin: box.xmin * scaleX + offsetX, ymin: box.ymin * scaleY + offsetY, xmax: box.xmax * scaleX + offsetX,
      ymax: box.ymax * scaleY + offsetY)
  }
}

/// A rectangle, its corners relative to the sides of a picture.
struct Box: Equatable, Sendable {
  var xmin: Float
  var ymin: Float
  var xmax: Float
  var ymax: Float

  static let whole = Box(xmin: 0, ymin: 0, xmax: 1, ymax: 1)

  var area: Float { xmax < xmin || ymax < ymin ? 0 : (xmax - xmin) * (ymax - ymin) }

  /// What both have in common; without area where that is nothing.
  func intersection(_ other: Box) -> Box {
    if other.xmin > xmax || other.xmax < xmin || other.ymin > ymax || other.ymax < ymin {
      return Box(xmin: 0, ymin: 0, xmax: 0, ymax: 0)
    }
    return Box(
      xmin: max(xmin, other.xmin), ymin: max(ymin, other.ymin), xmax: min(xmax, other.xmax),
      ymax: min(ymax, other.ymax))
  }

  /// The area in common over the area of both together.
  func overlap(_ other: Box) -> Float {
    let common = intersection(other).area
    return common > 0 ? common / (area + other.area - common) : 0
  }

  /// The share of this box that the other one covers.
  func covered(by other: Box) -> Float {
    let common = intersection(other).area
    return common > 0 ? common / area : 0
  }

  /// Cut to the picture.
  var clipped: Box {
    Box(
      xmin: max(0, min(1, xmin)), ymin: max(0, min(1, ymin)), xmax: max(0, min(1, xmax)), ymax: max(0, min(1, ymax)))
  }
}
