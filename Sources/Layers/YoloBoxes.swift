import Glibc
import Nets
import Tensors

/// Boxes that YOLO finds, from all maps of an image: the best are kept, and those that overlap a better one left out,
/// whatever their classes.
struct YoloBoxes {
  struct Found {
    var score: Float
    /// From 0.
    var label: Int
    var box: Box
  }

  private let threshold: Float
  private(set) var found: [Found] = []
  private var kept: [Found] = []

  /// - Parameter threshold: the overlap from which the lower box goes.
  init(threshold: Float) { self.threshold = threshold }

  mutating func add(_ box: Found) { found.append(box) }

  /// Writes the boxes of `image` behind those of the images before it, and forgets them.
  mutating func write(image: Int, _ top: Blob, _ rows: LiveRows) {
    found.sort { $0.score > $1.score }
    kept.removeAll(keepingCapacity: true)
    for candidate in found where kept.allSatisfy({ !(candidate.box.overlap($0.box) >= threshold) }) {
      kept.append(candidate)
      let row = top.values + 7 * rows.count
      (row[0], row[1], row[2]) = (Float(image), Float(candidate.label + 1), candidate.score)
      (row[3], row[4]) = (candidate.box.xMin, candidate.box.yMin)
      (row[5], row[6]) = (candidate.box.xMax, candidate.box.yMax)
      rows.count += 1
    }
    found.removeAll(keepingCapacity: true)
  }

  /// A row of -1 for each image, where nothing was found.
  static func writeNone(images: Int, _ top: Blob, _ rows: LiveRows) {
    guard rows.count == 0 else { return }
    top.values.update(repeating: -1, count: 7 * images)
    for image in 0..<images { top.values[7 * image] = Float(image) }
    rows.count = images
  }
}

/// One anchor's predictions at one place of a map N x (anchors (5 + classes)) x H x W.
struct YoloPrediction {
  private let values: UnsafePointer<Float>
  private let stride: Int
  private let place: (x: Int, y: Int)
  private let size: (width: Int, height: Int)

  /// - Parameter index: of the place in its plane.
  init(_ map: Blob, image: Int, anchor: Int, classes: Int, index: Int) {
    stride = map.shape[2] * map.shape[3]
    size = (map.shape[3], map.shape[2])
    place = (index % map.shape[3], index / map.shape[3])
    values = UnsafePointer(map.values) + image * map.shape.count(1...) + anchor * (5 + classes) * stride + index
  }

  static func sigmoid(_ x: Float) -> Float { 1 / (1 + expf(-x)) }

  var objectness: Float { YoloPrediction.sigmoid(values[4 * stride]) }

  func score(_ label: Int) -> Float { values[(5 + label) * stride] }

  /// The box around its centre, for an anchor in the units of `scale`, as shares of the image.
  func box(anchor: (width: Float, height: Float), scale: (x: Float, y: Float)) -> Box {
    let x = (Float(place.x) + YoloPrediction.sigmoid(values[0])) / Float(size.width)
    let y = (Float(place.y) + YoloPrediction.sigmoid(values[stride])) / Float(size.height)
    let halfWidth = expf(values[2 * stride]) * anchor.width / scale.x / 2
    let halfHeight = expf(values[3 * stride]) * anchor.height / scale.y / 2
    return Box(xMin: x - halfWidth, yMin: y - halfHeight, xMax: x + halfWidth, yMax: y + halfHeight)
  }
}
