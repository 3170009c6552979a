import Diagnostics

/// How the lines of a list tell points of a face, and how faces are cut out.
///
/// A line is a path, perhaps labels, the points, and perhaps more labels. The records' labels are the points first, x and
/// y of each in turn as shares of the width and height of the kept picture (0, 0 is its upper left corner), then the other
/// labels in the line's order.
package struct LandmarkList: Sendable {
  package enum Order: String, CaseIterable, Sendable {
    /// x1 y1 x2 y2 …
    case pairs
    /// x1 x2 … y1 y2 …
    case columns
  }

  package enum Border: String, CaseIterable, Sendable {
    /// Its outermost pixels go on.
    case edge
    case black
  }

  package var points: Int
  /// Whether the points of each picture stand in a file of its name beside it, `NAME.pts`, in the place of the line; see
  /// `PointFile`.
  package var areBeside = false
  package var order = Order.pairs
  /// Whether coordinates are shares of the picture's sides, not pixels.
  package var areShares = false
  /// How many labels stand before the points.
  package var labelsBefore = 0
  /// The number of classes of each label; 0 for any number. Empty where the first line tells how many labels there are.
  package var classes: [Int] = []
  /// What the first class is called; it becomes 0.
  package var firstClass = 0
  /// Cuts out the square around the points, larger by this share of its side on each side; nil takes the whole picture.
  package var margin: Float?
  /// What is seen of a square beyond the picture.
  package var border = Border.edge

  package init(points: Int) { self.points = points }

  /// The lists of MTFL as published (`training.txt`, `testing.txt`): x1 … x5 y1 … y5 gender smile glasses pose, with
  /// classes from 1. Source: Zhang, Luo, Loy, Tang, Facial landmark detection by deep multi-task learning (ECCV 2014).
  package static var mtfl: LandmarkList {
    var list = LandmarkList(points: 5)
    list.order = .columns
    list.classes = [2, 2, 2, 5]
    list.firstClass = 1
    return list
  }

  /// Throws a `Diagnostic` (`badArgument`) for options that do not go together.
  func check() throws {
    guard points >= 1 else { throw Diagnostic(.badArgument, "a face needs at least one point") }
    guard labelsBefore >= 0, classes.isEmpty || labelsBefore <= classes.count else {
      throw Diagnostic(
        .badArgument, "\(labelsBefore) labels cannot stand before the points: there are \(classes.count)")
    }
    guard classes.allSatisfy({ $0 >= 0 }) else { throw Diagnostic(.badArgument, "numbers of classes are 0 or more") }
    guard margin.map({ $0 >= 0 && $0 <= 10 }) ?? true else {
      throw Diagnostic(.badArgument, "the margin is a share of the face's side, from 0 to 10")
    }
    if areBeside && (order != .pairs || areShares) {
      throw Diagnostic(.badArgument, "points in files of their own are pairs of pixels")
    }
    if margin != nil && points < 2 { throw Diagnostic(.badArgument, "one point does not tell how large a face is") }
  }

  /// A list with the points first, as the file has them, and the other labels counted from 0.
  ///
  /// Throws a `Diagnostic` (`unreadableFile`, `badList`). Faults of single lines are given back.
  func read(_ file: String) throws -> (list: LabelList, faults: [Diagnostic]) {
    if areBeside { return try readLabels(file) }
    let (list, faults) = try LabelList.read(
      file, labelCount: classes.isEmpty ? nil : 2 * points + classes.count)
    guard list.labelCount >= 2 * points + labelsBefore else {
      throw Diagnostic(
        .badList,
        "a line has \(list.labelCount) numbers; \(points) points and the labels before them are "
          + "\(2 * points + labelsBefore)", at: SourceLocation(file: file, line: list.entries.first?.line ?? 0))
    }
    let (new, labelFaults) = list.mapped(labelCount: list.labelCount) { entry, values throws(Diagnostic) in
      let values = Array(values)
      let numbers = values[labelsBefore..<labelsBefore + 2 * points]
      let labels = values[..<labelsBefore] + values[(labelsBefore + 2 * points)...]
      return arranged(Array(numbers)) + (try counted(Array(labels)))
    }
    return (new, faults + labelFaults)
  }

  /// Of a list whose lines are a path and labels, or a path alone; the points are unknown until their files are read.
  private func readLabels(_ file: String) throws -> (list: LabelList, faults: [Diagnostic]) {
    let (list, faults) = try LabelList.parse(
      LabelList.contents(of: file), file: file, labelCount: classes.isEmpty ? nil : classes.count,
      labelsAreOptional: true)
    let unknown = [Float](repeating: .nan, count: 2 * points)
    let (new, labelFaults) = list.mapped(labelCount: unknown.count + list.labelCount) {
      entry, values throws(Diagnostic) in unknown + (try counted(Array(values)))
    }
    return (new, faults + labelFaults)
  }

  private func arranged(_ numbers: [Float]) -> [Float] {
    switch order {
    case .pairs: numbers
    case .columns: (0..<points).flatMap { [numbers[$0], numbers[points + $0]] }
    }
  }

  private func counted(_ labels: [Float]) throws(Diagnostic) -> [Float] {
    var labels = labels
    for index in labels.indices where !labels[index].isNaN {
      let classes = index < self.classes.count ? self.classes[index] : 0
      let label = labels[index] - Float(firstClass)
      if classes > 0 {
        guard label >= 0, label < Float(classes), label == label.rounded() else {
          throw Diagnostic(
            .badList,
            "label \(index + 1) besides the points is \(labels[index]); its \(classes) classes are "
              + "\(firstClass) to \(firstClass + classes - 1)")
        }
      }
      labels[index] = label
    }
    return labels
  }

  /// Cuts out the face and makes its points shares of what is left.
  ///
  /// - Parameter labels: of one record; the points come first.
  /// Throws a `Diagnostic` (`badImage`) for points that cannot belong to the picture.
  func apply(to image: inout Image, _ labels: inout ArraySlice<Float>) throws {
    var values = Array(labels)
    if areShares {
      for point in 0..<points {
        values[2 * point] *= Float(image.width)
        values[2 * point + 1] *= Float(image.height)
      }
    }
    let part = try square(around: values, in: image) ?? (top: 0, left: 0, height: image.height, width: image.width)
    for point in 0..<points {
      values[2 * point] = (values[2 * point] - Float(part.left)) / Float(part.width)
      values[2 * point + 1] = (values[2 * point + 1] - Float(part.top)) / Float(part.height)
    }
    labels = values[...]
    if margin != nil { image = image.part(top: part.top, left: part.left, side: part.height, border) }
  }

  /// The square to cut out; nil for the whole picture.
  private func square(
    around values: [Float], in image: Image
  ) throws -> (top: Int, left: Int, height: Int, width: Int)? {
    let known = (0..<points).filter { values[2 * $0].isFinite && values[2 * $0 + 1].isFinite }
    let (x, y) = (known.map { values[2 * $0] }, known.map { values[2 * $0 + 1] })
    guard let minX = x.min(), let maxX = x.max(), let minY = y.min(), let maxY = y.max() else {
      if margin == nil { return nil }
      throw Diagnostic(.badImage, "no point is known, so the face cannot be cut out")
    }
    let (width, height) = (Float(image.width), Float(image.height))
    // At least a pixel in common, for rounding.
    guard minX <= width - 1, maxX >= 1, minY <= height - 1, maxY >= 1 else {
      throw Diagnostic(
        .badImage,
        "its points, x from \(minX) to \(maxX) and y from \(minY) to \(maxY), lie outside its "
          + "\(image.height) x \(image.width) pixels (height x width)")
    }
    guard let margin else { return nil }
    let face = max(maxX - minX, maxY - minY)
    guard face >= 1, face <= 4 * max(width, height) else {
      throw Diagnostic(
        .badImage, "its points are \(face) pixels apart, which is no face in \(image.height) x \(image.width)")
    }
    let side = max(1, Int((face * (1 + 2 * margin)).rounded()))
    let top = Int(((minY + maxY - Float(side)) / 2).rounded())
    let left = Int(((minX + maxX - Float(side)) / 2).rounded())
    return (top, left, side, side)
  }
}

extension Image {
  /// A square part, which may reach beyond the picture but meets it.
  fileprivate func part(top: Int, left: Int, side: Int, _ border: LandmarkList.Border) -> Image {
    let (first, last) = (max(0, top), min(height, top + side))
    let (begin, end) = (max(0, left), min(width, left + side))
    let inside = cropped(top: first, left: begin, height: last - first, width: end - begin)
    if inside.height == side && inside.width == side { return inside }
    let padding: Padding = border == .edge ? .nearest : .constant([UInt8](repeating: 0, count: channels))
    return inside.padded(
      top: first - top, bottom: top + side - last, left: begin - left, right: left + side - end, padding)
  }
}
