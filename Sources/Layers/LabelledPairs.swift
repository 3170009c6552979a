import Diagnostics
import Nets
import Tensors

/// The pairs of vectors that a verification loss or metric looks at, and which of them are alike.
///
/// By the number of bottoms:
/// - 2: N vectors and their labels; records 2i and 2i + 1 are a pair (a last one without a partner counts for nothing),
///   or any two are. A pair with one label is alike.
/// - 3: N vectors, N others, and N values that are not 0 for alike pairs.
/// - 4: N vectors, N others, and the labels of either side.
///
/// A pair with a NaN label is not labelled.
struct LabelledPairs {
  /// Numbers in a vector.
  let width: Int
  /// Pairs, labelled or not.
  let count: Int
  private let vectors: Int
  private let takesAll: Bool
  private var bottoms: [Blob] = []

  /// - Throws: `badShape`.
  init(_ fields: LayerFields, _ bottoms: [Shape], takesAll: Bool = false) throws {
    let first = bottoms[0]
    vectors = first.extent(0)
    width = first.count / max(1, vectors)
    self.takesAll = takesAll
    if bottoms.count > 2 {
      guard first.count == bottoms[1].count, vectors == bottoms[1].extent(0) else {
        throw fields.fault(.badShape, "the two vectors must be of one shape: \(first) and \(bottoms[1])")
      }
      count = vectors
    } else {
      count = takesAll ? vectors * (vectors - 1) / 2 : vectors / 2
    }
    for index in min(2, bottoms.count - 1)..<bottoms.count where bottoms[index].count != vectors {
      throw fields.fault(
        .badShape,
        "needs one value for each of the \(vectors) \(bottoms.count > 2 ? "pairs" : "vectors"), but they are \(bottoms[index])",
        at: "bottom[\(index)]")
    }
  }

  func of(_ bottoms: [Blob]) -> LabelledPairs {
    var copy = self
    copy.bottoms = bottoms
    return copy
  }

  /// One side of a pair: a row of a bottom.
  struct Side {
    let blob: Blob
    let row: Int
  }

  /// Calls `body` for each pair in turn, with nil for whether it is alike when it is not labelled.
  @inline(__always)
  func forEach(_ body: (_ a: Side, _ b: Side, _ isAlike: Bool?) -> Void) {
    if bottoms.count > 2 {
      for row in 0..<vectors { body(Side(blob: bottoms[0], row: row), Side(blob: bottoms[1], row: row), isAlike(row)) }
      return
    }
    for first in stride(from: 0, to: vectors - 1, by: takesAll ? 1 : 2) {
      for second in (first + 1)..<(takesAll ? vectors : first + 2) {
        let labels = (bottoms[1].values[first], bottoms[1].values[second])
        let isAlike = labels.0.isNaN || labels.1.isNaN ? nil : labels.0 == labels.1
        body(Side(blob: bottoms[0], row: first), Side(blob: bottoms[0], row: second), isAlike)
      }
    }
  }

  /// Values between -1 and 1 count as 0: they are cut to whole numbers, as in Caffe.
  private func isAlike(_ row: Int) -> Bool? {
    if bottoms[2...].contains(where: { $0.values[row].isNaN }) { return nil }
    return bottoms.count > 3 ? bottoms[2].values[row] == bottoms[3].values[row] : abs(bottoms[2].values[row]) >= 1
  }

  func squaredDistance(_ a: Side, _ b: Side) -> Float {
    let (a, b) = (a.blob.values + a.row * width, b.blob.values + b.row * width)
    var sum = 0.0
    for i in 0..<width { sum += Double(a[i] - b[i]) * Double(a[i] - b[i]) }
    return Float(sum)
  }

  /// 0 with a vector of length 0.
  func cosine(_ a: Side, _ b: Side) -> Float {
    let (a, b) = (a.blob.values + a.row * width, b.blob.values + b.row * width)
    var (along, aSquare, bSquare) = (0.0, 0.0, 0.0)
    for i in 0..<width {
      along += Double(a[i]) * Double(b[i])
      aSquare += Double(a[i]) * Double(a[i])
      bSquare += Double(b[i]) * Double(b[i])
    }
    return aSquare == 0 || bSquare == 0 ? 0 : Float(along / (aSquare * bSquare).squareRoot())
  }
}
