import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// SSD's `batch_sampler`: parts of the picture, drawn at random until they overlap with its objects as wanted (Liu et
/// al., SSD, 2016, section 2.2). Of all that are found one is drawn.
struct BoxSampling: Sendable {
  private let samplers: [BatchSampler]

  /// - Throws: a fault of the layer for a range that is none.
  init(_ fields: LayerFields) throws {
    let all = fields.parameter.annotatedDataParam.batchSampler
    for (index, sampler) in all.enumerated() {
      let range = sampler.sampler
      let place = "annotated_data_param.batch_sampler[\(index)].sampler"
      guard range.minScale > 0, range.minScale <= range.maxScale, range.maxScale <= 1 else {
        throw fields.fault(
          "min_scale must be above 0 and at most max_scale, and that at most 1", at: "\(place).min_scale")
      }
      guard range.minAspectRatio > 0, range.minAspectRatio <= range.maxAspectRatio, range.maxAspectRatio.isFinite else {
        throw fields.fault(
          "min_aspect_ratio must be above 0 and at most max_aspect_ratio", at: "\(place).min_aspect_ratio")
      }
    }
    // SSD never uses a sampler that is not for the original image.
    samplers = all.filter(\.useOriginalImage)
  }

  /// The part to take, or nil for the whole picture.
  func draw(_ objects: [Box], _ dice: inout Dice) -> Box? {
    var found: [Box] = []
    for sampler in samplers {
      var count = 0
      for _ in 0..<sampler.maxTrials {
        if sampler.hasMaxSample, count >= Int(sampler.maxSample) { break }
        let box = draw(sampler.sampler, &dice)
        if sampler.sampleConstraint.holds(box, objects) {
          found.append(box)
          count += 1
        }
      }
    }
    return found.isEmpty ? nil : found[dice.integer(below: found.count)]
  }

  private func draw(_ range: Sampler, _ dice: inout Dice) -> Box {
    let scale = dice.uniform(range.minScale, range.maxScale)
    let drawn = dice.uniform(range.minAspectRatio, range.maxAspectRatio)
    // So that neither side is longer than the picture's.
    let ratio = min(max(drawn, scale * scale), 1 / (scale * scale))
    let (width, height) = (min(1, scale * ratio.squareRoot()), min(1, scale / ratio.squareRoot()))
    let (left, top) = (dice.uniform(0, 1 - width), dice.uniform(0, 1 - height))
    return Box(xmin: left, ymin: top, xmax: left + width, ymax: top + height)
  }
}

extension SampleConstraint {
  /// Whether one of the objects is to `box` as wanted; without any wish, whatever the objects.
  fileprivate func holds(_ box: Box, _ objects: [Box]) -> Bool {
    let wishes: [(isGiven: Bool, low: Float?, high: Float?, measure: (Box) -> Float)] = [
      (
        hasMinJaccardOverlap || hasMaxJaccardOverlap, hasMinJaccardOverlap ? minJaccardOverlap : nil,
        hasMaxJaccardOverlap ? maxJaccardOverlap : nil, { box.overlap($0) }
      ),
      (
        hasMinSampleCoverage || hasMaxSampleCoverage, hasMinSampleCoverage ? minSampleCoverage : nil,
        hasMaxSampleCoverage ? maxSampleCoverage : nil, { box.covered(by: $0) }
      ),
      (
        hasMinObjectCoverage || hasMaxObjectCoverage, hasMinObjectCoverage ? minObjectCoverage : nil,
        hasMaxObjectCoverage ? maxObjectCoverage : nil, { $0.covered(by: box) }
      ),
    ]
    let given = wishes.filter(\.isGiven)
    if given.isEmpty { return true }
    return objects.contains { object in
      given.allSatisfy { wish in
        let value = wish.measure(object)
        return value >= wish.low ?? -.infinity && value <= wish.high ?? .infinity
      }
    }
  }
}

/// An object in a picture.
struct AnnotatedBox: Equatable, Sendable {
  var box: Box
  /// The class.
  var group: Int32
  var instance: Int32
  var isDifficult: Bool
}

/// A picture with its objects, which follow what happens to it.
struct AnnotatedPicture {
  var image: Image
  var boxes: [AnnotatedBox]

  /// Moves the boxes as the picture's points moved, and cuts them to it.
  mutating func move(_ frame: BoxFrame) {
    for index in boxes.indices { boxes[index].box = frame.move(boxes[index].box).clipped }
    boxes.removeAll { $0.box.area <= 0 }
  }

  /// Takes boxes along into a part of the picture: those that `constraint` lets stay and that reach into it.
  mutating func keepBoxes(in part: Box, _ constraint: EmitConstraint?) {
    if let constraint { boxes.removeAll { !constraint.holds($0.box, in: part) } }
    boxes.removeAll {
      $0.box.xmin >= part.xmax || $0.box.xmax <= part.xmin || $0.box.ymin >= part.ymax || $0.box.ymax <= part.ymin
    }
    move(BoxFrame(window: part))
  }

  /// Cuts out a part of the picture, its corners rounded down to pixels.
  mutating func crop(to part: Box, _ constraint: EmitConstraint?) {
    let part = part.clipped
    let (height, width) = (Float(image.height), Float(image.width))
    let (left, top) = (min(Int(part.xmin * width), image.width - 1), min(Int(part.ymin * height), image.height - 1))
    let partWidth = max(1, min(Int((part.xmax - part.xmin) * width), image.width - left))
    let partHeight = max(1, min(Int((part.ymax - part.ymin) * height), image.height - top))
    image = image.cropped(top: top, left: left, height: partHeight, width: partWidth)
    keepBoxes(in: part, constraint)
  }

  mutating func mirrorBoxes() {
    for index in boxes.indices {
      let box = boxes[index].box
      (boxes[index].box.xmin, boxes[index].box.xmax) = (1 - box.xmax, 1 - box.xmin)
    }
  }
}

extension EmitConstraint {
  /// Whether a box may stay in a part of its picture.
  fileprivate func holds(_ box: Box, in part: Box) -> Bool {
    switch emitType {
    case .center:
      let (x, y) = ((box.xmin + box.xmax) / 2, (box.ymin + box.ymax) / 2)
      return x >= part.xmin && x <= part.xmax && y >= part.ymin && y <= part.ymax
    case .minOverlap: return box.covered(by: part) > emitOverlap
    }
  }
}
