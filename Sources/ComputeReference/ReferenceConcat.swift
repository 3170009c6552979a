import Compute
import Tensors

/// The bottoms one behind the other along an axis: for each index of the axes before it, the rest of bottom 0, the rest
/// of bottom 1, and so on.
final class ReferenceConcat: ConcatOp {
  let bottomLayouts: [Layout]
  let topLayout = Layout.plain
  let implementation = "reference"
  /// The product of the axes before the one that grows.
  private let outerCount: Int
  /// Elements of each bottom, and of the top, for one index of the outer axes.
  private let pieces: [Int]
  private let topPiece: Int

  init(_ description: ConcatDescription) {
    bottomLayouts = description.bottomShapes.map { _ in .plain }
    outerCount = description.topShape.count(..<description.axis)
    pieces = description.bottomShapes.map { $0.count(description.axis...) }
    topPiece = pieces.reduce(0, +)
  }

  func forward(bottoms: UnsafePointer<UnsafeMutableRawPointer>, top: UnsafeMutableRawPointer) {
    for outer in 0..<outerCount {
      var to = top.floats + outer * topPiece
      for (index, piece) in pieces.enumerated() {
        to.update(from: bottoms[index].floats + outer * piece, count: piece)
        to += piece
      }
    }
  }

  func backward(topGradient: UnsafeRawPointer, index: Int, bottomGradient: UnsafeMutableRawPointer) {
    let piece = pieces[index]
    let start = pieces[..<index].reduce(0, +)
    for outer in 0..<outerCount {
      (bottomGradient.floats + outer * piece).update(from: topGradient.floats + outer * topPiece + start, count: piece)
    }
  }
}
