import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Moves the labels of a record as its picture is cut and mirrored: `transform_param.points`.
///
/// A point (x, y), as shares of the picture's width and height, becomes ((x W - left) / crop width, (y H - top) / crop
/// height); mirrored, its x becomes 1 - x. Points, labels and classes that tell left from right change places then.
struct LabelMotion: Sendable {
  /// Two labels that change places.
  private struct Swap: Sendable {
    let first: Int
    let second: Int
  }

  let framing: Framing
  private let pointCount: Int
  private let swaps: [Swap]
  private let turns: [TurnedLabel]
  /// Of the pictures that the crop is cut from; nil where the layer sees them itself.
  private let picture: (height: Int, width: Int)?

  /// - Parameters:
  ///   - labels: how many labels a record has.
  ///   - seesPictures: whether the layer reads the pictures too.
  /// - Returns: nil where labels stay as they are.
  /// - Throws: a fault of the layer for fields that cannot be followed.
  init?(_ fields: LayerFields, labels: Int, seesPictures: Bool) throws {
    let transform = fields.parameter.transformParam
    guard transform.hasPoints else { return nil }
    let points = transform.points
    framing = try Framing(fields)
    pointCount = Int(points.count)
    guard 2 * pointCount <= labels else {
      throw fields.fault(
        "\(pointCount) points are \(2 * pointCount) labels, but the records have \(labels)",
        at: "transform_param.points.count")
    }
    let exchanged = try LabelMotion.pairs(points.swap, below: pointCount, fields, "swap", of: "points")
    var swaps = try LabelMotion.pairs(points.swapLabels, below: labels, fields, "swap_labels", of: "labels")
    for pair in exchanged {
      swaps.append(Swap(first: 2 * pair.first, second: 2 * pair.second))
      swaps.append(Swap(first: 2 * pair.first + 1, second: 2 * pair.second + 1))
    }
    self.swaps = swaps
    for (index, turn) in points.turn.enumerated() {
      guard turn.label < labels, turn.label >= 2 * pointCount, turn.classes >= 2 else {
        throw fields.fault(
          "turn names label \(turn.label) with \(turn.classes) classes; it takes a label from \(2 * pointCount) to "
            + "\(labels - 1) with at least 2 classes", at: "transform_param.points.turn[\(index)]")
      }
    }
    turns = points.turn
    picture = try LabelMotion.pictureSize(fields, framing, seesPictures: seesPictures)
  }

  private static func pairs(
    _ numbers: [UInt32], below count: Int, _ fields: LayerFields, _ name: String, of what: String
  ) throws -> [Swap] {
    let field = "transform_param.points.\(name)[0]"
    guard numbers.count % 2 == 0, Set(numbers).count == numbers.count else {
      throw fields.fault("\(name) names \(what) two and two, each once", at: field)
    }
    if let beyond = numbers.first(where: { $0 >= count }) {
      throw fields.fault("\(name) names number \(beyond), but the \(count) \(what) count from 0", at: field)
    }
    return stride(from: 0, to: numbers.count, by: 2).map {
      Swap(first: Int(numbers[$0]), second: Int(numbers[$0 + 1]))
    }
  }

  private static func pictureSize(
    _ fields: LayerFields, _ framing: Framing, seesPictures: Bool
  ) throws -> (height: Int, width: Int)? {
    let transform = fields.parameter.transformParam
    let points = transform.points
    let moves = "points follow crop_size and mirror alone"
    try fields.refuse(transform.hasExpandParam, "transform_param.expand_param", moves)
    let isWarped = transform.resizeParam.allSatisfy { $0.resizeMode == .warp }
    if seesPictures {
      try fields.refuse(!isWarped, "transform_param.resize_param[0].resize_mode", "points follow WARP alone")
      try fields.refuse(
        points.hasHeight || points.hasWidth, "transform_param.points.height", "the layer sees its pictures")
      return nil
    }
    for (isGiven, name) in [
      (transform.hasMeanFile, "mean_file"), (!transform.meanValue.isEmpty, "mean_value[0]"),
      (transform.scale != 1, "scale"), (!transform.resizeParam.isEmpty, "resize_param[0]"),
      (transform.hasDistortParam, "distort_param"), (!transform.noiseParam.isEmpty, "noise_param[0]"),
      (transform.forceColor, "force_color"),
      (transform.forceGray, "force_gray"),
    ] { try fields.refuse(isGiven, "transform_param.\(name)", "labels are moved, not changed as pictures are") }
    guard let crop = framing.crop else { return nil }
    let (height, width) = (Int(points.height), Int(points.width))
    guard height >= crop.height, width >= crop.width else {
      throw fields.fault(
        "with a crop of \(crop.height)x\(crop.width) points need height and width of the pictures that it is cut from",
        at: "transform_param.points")
    }
    return (height, width)
  }

  /// - Parameters:
  ///   - labels: of one record.
  ///   - seen: the size of its picture before the crop, where the layer sees it.
  ///   - draws: the record's own stream.
  func apply(
    _ labels: UnsafeMutablePointer<Float>, picture seen: (height: Int, width: Int)? = nil, draws: RandomStream
  ) {
    if let crop = framing.crop, let size = picture ?? seen {
      let (top, left) = framing.cropOrigin(height: size.height, width: size.width, draws)
      for point in 0..<pointCount {
        labels[2 * point] = (labels[2 * point] * Float(size.width) - Float(left)) / Float(crop.width)
        labels[2 * point + 1] = (labels[2 * point + 1] * Float(size.height) - Float(top)) / Float(crop.height)
      }
    }
    guard framing.isMirrored(draws) else { return }
    for point in 0..<pointCount { labels[2 * point] = 1 - labels[2 * point] }
    for swap in swaps { (labels[swap.first], labels[swap.second]) = (labels[swap.second], labels[swap.first]) }
    for turn in turns {
      // Missing and ignored labels are no classes.
      let (label, last) = (Int(turn.label), Float(turn.classes) - 1)
      if labels[label] >= 0, labels[label] <= last { labels[label] = last - labels[label] }
    }
  }
}

extension LayerFields {
  /// The same layer with records as they are.
  var withoutTransform: LayerFields {
    var plain = parameter
    plain.clearTransformParam()
    return LayerFields(parameter: plain, places: places, phase: phase, paths: paths)
  }

  /// Of layers that have no labels which could move.
  func refusePoints() throws {
    try refuse(
      parameter.transformParam.hasPoints, "transform_param.points", "Data and ImageData layers move labels")
  }
}
