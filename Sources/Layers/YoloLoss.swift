import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// How a YOLO loss compares predictions with objects; what RegionLoss and Yolov3 differ in.
struct YoloRules: Sendable {
  /// Sizes of boxes, in cells of the map, or with `cellSide` in pixels.
  var anchors: [(width: Float, height: Float)]
  /// Pixels of a cell; nil where anchors are in cells.
  var cellSide: Float?
  /// The anchors that the map predicts boxes for, in its order.
  var mask: [Int]
  var classes: Int
  var objectScale: Float
  var backgroundScale: Float
  var classScale: Float
  var boxScale: Float
  /// From this overlap on, a box that is not taken for an object is none of the background either.
  var threshold: Float
  /// Further anchors of the map that overlap an object by more than this are taken for it too; nil for none.
  var secondThreshold: Float?
  /// Softmax over the classes instead of a sigmoid for each.
  var isSoftmax: Bool
  /// Objects take the anchor of the likest size; otherwise the predicted box of the likest.
  var matchesAnchors: Bool
  /// Objectness should be the overlap with the object instead of 1.
  var rescores: Bool
  /// Small boxes count more: by 2 - width height.
  var favoursSmall: Bool
  /// A label y is taken as y (1 - s) + s / 2.
  var smoothing: Float
  /// Which differences are multiplied by the slope of their sigmoid: nil for none.
  var slopes: Slopes?

  enum Slopes {
    /// Those of the centre and the objectness.
    case place
    /// And those of the classes; in backward alone.
    case allInBackward
  }
}

/// An object of an image: its class from 0, its centre and size as shares of the image.
private struct YoloObject {
  var label: Int
  var x: Float
  var y: Float
  var width: Float
  var height: Float

  var box: Box { Box(xMin: x - width / 2, yMin: y - height / 2, xMax: x + width / 2, yMax: y + height / 2) }
}

/// The objects of a batch, in one of two forms: N x (M 5) of class from 0, centre and size, ending with a width of 0; or 1
/// x 1 x M x 8 as AnnotatedData gives them (image, class from 1, instance, corners, difficult; image -1: none). In the
/// first, an image whose first class is NaN is not labelled.
private struct YoloObjects {
  private let blob: Blob
  private let images: Int
  private let hasCorners: Bool

  static func hasCorners(_ shape: Shape) -> Bool { shape.rank == 4 && shape[0] == 1 && shape[1] == 1 && shape[3] == 8 }

  init(_ blob: Blob, images: Int) {
    self.blob = blob
    self.images = images
    hasCorners = YoloObjects.hasCorners(blob.shape)
  }

  /// - Returns: whether the image is labelled: false where the class of its first object is NaN.
  func read(_ image: Int, into objects: inout [YoloObject]) -> Bool {
    objects.removeAll(keepingCapacity: true)
    if hasCorners {
      for row in 0..<blob.shape[2] {
        let v = blob.values + 8 * row
        guard v[0] == Float(image), !v[1].isNaN else { continue }
        let box = Box(v + 3)
        objects.append(
          YoloObject(
            label: YoloObjects.label(v[1]) - 1, x: box.centreX, y: box.centreY, width: box.width, height: box.height))
      }
    } else {
      let count = blob.count / images / 5
      for row in 0..<count {
        let v = blob.values + (image * count + row) * 5
        guard row > 0 || !v[0].isNaN else { return false }
        guard !v[0].isNaN, v[3] != 0 else { return true }
        objects.append(YoloObject(label: YoloObjects.label(v[0]), x: v[1], y: v[2], width: v[3], height: v[4]))
      }
    }
    return true
  }

  private static func label(_ value: Float) -> Int { abs(value) < 0x1p30 ? Int(value) : .min / 2 }
}

/// A run of a YOLO loss.
///
/// Darknet, whose losses these are, writes down a difference for each prediction. Their squares, summed over the batch and
/// divided by N, are the value that is printed; the differences themselves, divided by N, are the gradient. N counts the
/// labelled images, and the others cost nothing.
final class YoloLossRun: LossRun {
  private let rules: YoloRules
  private let identity: Diagnostic.Layer
  private let map: Blob
  private let loss: Blob
  private let objects: YoloObjects
  /// The differences, shaped like the map.
  private let differences: Region
  private var present: [YoloObject] = []
  /// The anchors that may stand for an object.
  private let candidates: [Int]
  private var probabilities: [Float]
  private let width: Int
  private let height: Int
  /// Images.
  private(set) var labelledCount = 0
  private var cells: Int { width * height }

  init(_ binding: LayerBinding, _ identity: Diagnostic.Layer, _ rules: YoloRules) {
    self.rules = rules
    self.identity = identity
    map = binding.bottom(0)
    loss = binding.top(0)
    (height, width) = (map.shape[2], map.shape[3])
    objects = YoloObjects(binding.bottom(1), images: max(1, map.shape[0]))
    differences = binding.workspace(map.count * MemoryLayout<Float>.stride)
    candidates = rules.matchesAnchors ? Array(rules.anchors.indices) : rules.mask
    probabilities = [Float](repeating: 0, count: rules.classes)
    binding.backwardReads(bottoms: [map])
  }

  /// - Throws: `badShape` when the blobs do not fit.
  static func check(_ bottoms: [Shape], _ rules: YoloRules, _ fields: LayerFields) throws {
    let channels = rules.mask.count * (5 + rules.classes)
    guard bottoms[0].rank == 4, bottoms[0][1] == channels, bottoms[0].count(2...) > 0 else {
      throw fields.fault(
        .badShape,
        "needs a map N x \(channels) x H x W, 5 + \(rules.classes) values for each of \(rules.mask.count) boxes, but it is "
          + "\(bottoms[0])", at: "bottom[0]")
    }
    let isList = bottoms[1].extent(0) == bottoms[0][0] && bottoms[1].count(1...) % 5 == 0
    guard YoloObjects.hasCorners(bottoms[1]) || isList else {
      throw fields.fault(
        .badShape, "needs objects N x (M 5), or 1 x 1 x M x 8 as of AnnotatedData, but they are \(bottoms[1])",
        at: "bottom[1]")
    }
  }

  private var delta: UnsafeMutablePointer<Float> { differences.pointer.assumingMemoryBound(to: Float.self) }

  /// Where slot `slot` at `cell` begins; its values are `cells` apart.
  private func start(_ image: Int, _ slot: Int, _ cell: Int) -> Int {
    (image * rules.mask.count + slot) * (5 + rules.classes) * cells + cell
  }

  private func sigmoid(_ x: Float) -> Float { YoloPrediction.sigmoid(x) }

  /// An anchor's size as shares of the image.
  private func size(_ anchor: Int) -> (width: Float, height: Float) {
    let side = rules.cellSide ?? 1
    return (
      rules.anchors[anchor].width / (Float(width) * side), rules.anchors[anchor].height / (Float(height) * side)
    )
  }

  private func predicted(_ at: Int, _ slot: Int, _ cell: Int) -> Box {
    let x = map.values + at
    let size = size(rules.mask[slot])
    let (w, h) = (expf(x[2 * cells]) * size.width, expf(x[3 * cells]) * size.height)
    let centreX = (Float(cell % width) + sigmoid(x[0])) / Float(width)
    let centreY = (Float(cell / width) + sigmoid(x[cells])) / Float(height)
    return Box(xMin: centreX - w / 2, yMin: centreY - h / 2, xMax: centreX + w / 2, yMax: centreY + h / 2)
  }

  func forward() throws {
    delta.update(repeating: 0, count: map.count)
    labelledCount = 0
    for image in 0..<map.shape[0] where objects.read(image, into: &present) {
      labelledCount += 1
      try checkObjects()
      for slot in rules.mask.indices {
        for cell in 0..<cells { markBackground(start(image, slot, cell), slot, cell) }
      }
      for object in present { take(object, image) }
    }
    var sum = 0.0
    for i in 0..<map.count { sum += Double(delta[i] * delta[i]) }
    loss.values[0] = Float(sum) / Float(max(1, labelledCount))
  }

  private func checkObjects() throws {
    for object in present {
      let isInside = object.x >= 0 && object.x <= 1 && object.y >= 0 && object.y <= 1
      guard (0..<rules.classes).contains(object.label), isInside, object.width > 0, object.height > 0 else {
        throw Diagnostic(
          .badRecord,
          "an object of class \(object.label), counted from 0, at (\(object.x), \(object.y)) of size \(object.width) x "
            + "\(object.height): the class must be below \(rules.classes), the centre in the image (0 to 1), the size above 0",
          layer: identity)
      }
    }
  }

  private func markBackground(_ at: Int, _ slot: Int, _ cell: Int) {
    let box = predicted(at, slot, cell)
    guard !present.contains(where: { box.overlap($0.box) > rules.threshold }) else { return }
    setObjectness(at, wanted: 0, scale: rules.backgroundScale)
  }

  private func setObjectness(_ at: Int, wanted: Float, scale: Float) {
    let p = sigmoid(map.values[at + 4 * cells])
    let slope = rules.slopes == .place ? p * (1 - p) : 1
    delta[at + 4 * cells] = scale * (p - wanted) * slope
  }

  /// Looks for the boxes that stand for an object, and writes down how far they are from it.
  private func take(_ object: YoloObject, _ image: Int) {
    let cell = min(Int(object.y * Float(height)), height - 1) * width + min(Int(object.x * Float(width)), width - 1)
    var best: (overlap: Float, anchor: Int)?
    for anchor in candidates {
      let overlap = likeness(of: anchor, to: object, image, cell)
      if overlap > best?.overlap ?? 0 { best = (overlap, anchor) }
    }
    if let slot = rules.mask.firstIndex(of: best?.anchor ?? rules.mask[0]) { compare(object, image, slot, cell) }
    guard let threshold = rules.secondThreshold else { return }
    for (slot, anchor) in rules.mask.enumerated() where anchor != best?.anchor {
      if likeness(of: anchor, to: object, image, cell) > threshold { compare(object, image, slot, cell) }
    }
  }

  /// The overlap of an anchor, or of what is predicted for it, with an object around one centre.
  private func likeness(of anchor: Int, to object: YoloObject, _ image: Int, _ cell: Int) -> Float {
    var size = size(anchor)
    if !rules.matchesAnchors, let slot = rules.mask.firstIndex(of: anchor) {
      let box = predicted(start(image, slot, cell), slot, cell)
      size = (box.width, box.height)
    }
    let common = min(size.width, object.width) * min(size.height, object.height)
    return common / (size.width * size.height + object.width * object.height - common)
  }

  private func compare(_ object: YoloObject, _ image: Int, _ slot: Int, _ cell: Int) {
    let at = start(image, slot, cell)
    let x = map.values + at
    let size = size(rules.mask[slot])
    let scale = rules.boxScale * (rules.favoursSmall ? 2 - object.width * object.height : 1)
    let overlap = predicted(at, slot, cell).overlap(object.box)
    comparePlace(at, wanted: object.x * Float(width) - Float(cell % width), scale)
    comparePlace(at + cells, wanted: object.y * Float(height) - Float(cell / width), scale)
    delta[at + 2 * cells] = scale * (x[2 * cells] - logf(object.width / size.width))
    delta[at + 3 * cells] = scale * (x[3 * cells] - logf(object.height / size.height))
    setObjectness(at, wanted: rules.rescores ? overlap : 1, scale: rules.objectScale)
    compareClasses(object.label, at + 5 * cells)
  }

  private func comparePlace(_ at: Int, wanted: Float, _ scale: Float) {
    let p = sigmoid(map.values[at])
    delta[at] = scale * (p - wanted) * (rules.slopes == .place ? p * (1 - p) : 1)
  }

  private func compareClasses(_ label: Int, _ at: Int) {
    let x = map.values + at
    // A box that stands for several objects has several classes.
    let hasOthers = !rules.isSoftmax && delta[at + label * cells] != 0
    var (largest, sum) = (-Float.infinity, Float(0))
    if rules.isSoftmax {
      for c in 0..<rules.classes { largest = max(largest, x[c * cells]) }
      for c in 0..<rules.classes {
        probabilities[c] = expf(x[c * cells] - largest)
        sum += probabilities[c]
      }
    }
    for c in 0..<rules.classes where !hasOthers || c == label {
      let p = rules.isSoftmax ? probabilities[c] / sum : sigmoid(x[c * cells])
      let wanted = (c == label ? 1 : 0) * (1 - rules.smoothing) + rules.smoothing / 2
      delta[at + c * cells] = rules.classScale * (p - wanted)
    }
  }

  func backward() {
    guard map.hasGradient else { return }
    let factor = loss.gradients[0] / Float(max(1, labelledCount))
    let values = 5 + rules.classes
    for i in 0..<map.count {
      let value = i / cells % values
      let isSize = value == 2 || value == 3
      var slope: Float = 1
      if rules.slopes == .allInBackward, !isSize {
        let p = sigmoid(map.values[i])
        slope = p * (1 - p)
      }
      map.gradients[i] = factor * slope * delta[i]
    }
  }
}
