import CaffeSchema
import Diagnostics
import Glibc
import Nets
import Tensors

/// A box by its corners, as shares of the image.
struct Box {
  var xMin: Float
  var yMin: Float
  var xMax: Float
  var yMax: Float

  init(xMin: Float, yMin: Float, xMax: Float, yMax: Float) {
    (self.xMin, self.yMin, self.xMax, self.yMax) = (xMin, yMin, xMax, yMax)
  }

  /// From four neighbouring values.
  init(_ values: UnsafePointer<Float>) {
    self.init(xMin: values[0], yMin: values[1], xMax: values[2], yMax: values[3])
  }

  var width: Float { xMax - xMin }
  var height: Float { yMax - yMin }
  var centreX: Float { (xMin + xMax) / 2 }
  var centreY: Float { (yMin + yMax) / 2 }
  /// 0 for a box whose corners are the wrong way round.
  var area: Float { xMax < xMin || yMax < yMin ? 0 : width * height }
  var crossesBorder: Bool { [xMin, yMin, xMax, yMax].contains { $0 < 0 || $0 > 1 } }

  /// The area that both have over the area that one of them has.
  func overlap(_ other: Box) -> Float {
    guard other.xMin <= xMax, other.xMax >= xMin, other.yMin <= yMax, other.yMax >= yMin else { return 0 }
    let shared = Box(
      xMin: max(xMin, other.xMin), yMin: max(yMin, other.yMin), xMax: min(xMax, other.xMax),
      yMax: min(yMax, other.yMax))
    guard shared.width > 0, shared.height > 0 else { return 0 }
    let common = shared.width * shared.height
    return common / (area + other.area - common)
  }
}

/// How SSD writes a box relative to a default box (Liu et al., ECCV 2016): CORNER, the corners' differences;
/// CENTER_SIZE, the centres' difference over the default's size, and the logarithms of the sizes' ratios; CORNER_SIZE,
/// the corners' differences over the size. Each is divided by its variance.
struct BoxCode: Sendable {
  private let type: PriorBoxParameter.CodeType
  /// Whether the predictions are to be multiplied by the variances.
  private let usesVariance: Bool

  init(_ fields: LayerFields, _ type: PriorBoxParameter.CodeType, usesVariance: Bool, at field: String) throws {
    self.type = type
    self.usesVariance = usesVariance
    try fields.refuse(
      type == .receptiveCenter || type == .cornnerCenter, field, "CORNER, CENTER_SIZE and CORNER_SIZE are")
  }

  /// The four numbers that stand for `box`. Not a number where a size is not above 0.
  func encode(_ box: Box, prior: Box, variance: UnsafePointer<Float>) -> SIMD4<Float> {
    let difference = SIMD4(
      box.xMin - prior.xMin, box.yMin - prior.yMin, box.xMax - prior.xMax, box.yMax - prior.yMax)
    let size = SIMD4(prior.width, prior.height, prior.width, prior.height)
    let code =
      switch type {
      case .corner: difference
      case .cornerSize: difference / size
      default:
        SIMD4(
          (box.centreX - prior.centreX) / prior.width, (box.centreY - prior.centreY) / prior.height,
          logf(box.width / prior.width), logf(box.height / prior.height))
      }
    return usesVariance ? code / SIMD4(variance[0], variance[1], variance[2], variance[3]) : code
  }

  func decode(_ values: UnsafePointer<Float>, prior: Box, variance: UnsafePointer<Float>) -> Box {
    var code = SIMD4(values[0], values[1], values[2], values[3])
    if usesVariance { code *= SIMD4(variance[0], variance[1], variance[2], variance[3]) }
    switch type {
    case .corner:
      return Box(
        xMin: prior.xMin + code[0], yMin: prior.yMin + code[1], xMax: prior.xMax + code[2], yMax: prior.yMax + code[3])
    case .cornerSize:
      return Box(
        xMin: prior.xMin + code[0] * prior.width, yMin: prior.yMin + code[1] * prior.height,
        xMax: prior.xMax + code[2] * prior.width, yMax: prior.yMax + code[3] * prior.height)
    default:
      let (x, y) = (prior.centreX + code[0] * prior.width, prior.centreY + code[1] * prior.height)
      let (halfWidth, halfHeight) = (expf(code[2]) * prior.width / 2, expf(code[3]) * prior.height / 2)
      return Box(xMin: x - halfWidth, yMin: y - halfHeight, xMax: x + halfWidth, yMax: y + halfHeight)
    }
  }
}

/// The default boxes that a PriorBox layer (or several, concatenated) gives: 1 x 2 x 4 count, corners then variances.
struct DefaultBoxes: Sendable {
  let count: Int

  init(_ fields: LayerFields, priors: Shape, bottom: Int) throws {
    guard priors.rank >= 3, priors[0] == 1, priors[1] == 2, priors.count(2...) % 4 == 0 else {
      throw fields.fault(
        .badShape, "needs default boxes 1 x 2 x (boxes 4), from PriorBox, but they are \(priors)",
        at: "bottom[\(bottom)]")
    }
    count = priors.count(2...) / 4
  }

  func box(_ priors: UnsafePointer<Float>, _ index: Int) -> Box { Box(priors + 4 * index) }

  func variance(_ priors: UnsafePointer<Float>, _ index: Int) -> UnsafePointer<Float> { priors + 4 * (count + index) }
}
