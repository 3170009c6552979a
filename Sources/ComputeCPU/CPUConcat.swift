import Compute
import Tensors

/// In every format a concatenation is `outer` times a run of each bottom, one behind the other.
final class CPUConcat: ConcatOp {
  let bottomLayouts: [Layout]
  let topLayout: Layout
  let implementation = "copy"
  private let outer: Int
  /// The bytes of each bottom's run, where it starts in the top's, and the top's.
  private let runs: [Int]
  private let starts: [Int]
  private let topRun: Int
  private let pool: ThreadPool

  private static let grainBytes = 65536

  init(_ description: ConcatDescription, bottoms: [Layout], pool: ThreadPool) {
    let shapes = description.bottomShapes
    let format = CPUConcat.format(description, bottoms)
    let isHalf = format == .blocked16 && CPUConcat.areHalves(description, bottoms)
    let outer =
      switch format {
      case .channelsLast: shapes[0][0] * shapes[0].count(2...)
      case .plain, .blocked8, .blocked16: shapes[0].count(..<description.axis)
      }
    bottomLayouts = shapes.map { Layout(format, $0, isHalf: isHalf) }
    topLayout = Layout(format, description.topShape, isHalf: isHalf)
    runs = zip(shapes, bottomLayouts).map { shape, layout in layout.byteCount(for: shape) / max(1, outer) }
    starts = runs.indices.map { [runs] index in runs[..<index].reduce(0, +) }
    topRun = runs.reduce(0, +)
    self.outer = outer
    self.pool = pool
  }

  /// The format that most of the elements have already, of those that can be concatenated by copying.
  private static func format(_ description: ConcatDescription, _ bottoms: [Layout]) -> Format {
    let shapes = description.bottomShapes
    guard description.axis == 1, shapes[0].rank >= 3 else { return .plain }
    let possible: [Format] = [.channelsLast, .blocked8, .blocked16].filter { format in
      shapes.dropLast().allSatisfy { $0[1] % format.block == 0 }
    }
    func weight(_ format: Format) -> Int {
      zip(shapes, bottoms).reduce(0) { $1.1.format == format ? $0 + $1.0.count : $0 }
    }
    var best = Format.plain
    for format in possible where weight(format) > weight(best) { best = format }
    return best
  }

  /// Whether most of the elements come in bfloat.
  private static func areHalves(_ description: ConcatDescription, _ bottoms: [Layout]) -> Bool {
    let counts = zip(description.bottomShapes, bottoms).map { $1.isHalf ? $0.count : -$0.count }
    return counts.reduce(0, +) > 0
  }

  func forward(bottoms: UnsafePointer<UnsafeMutableRawPointer>, top: UnsafeMutableRawPointer) {
    pool.run(outer, grain: grain) { from, to in
      for (index, run) in runs.enumerated() {
        for row in from..<to {
          (top + row * topRun + starts[index]).copyMemory(from: bottoms[index] + row * run, byteCount: run)
        }
      }
    }
  }

  func backward(topGradient: UnsafeRawPointer, index: Int, bottomGradient: UnsafeMutableRawPointer) {
    let (run, start) = (runs[index], starts[index])
    pool.run(outer, grain: grain) { from, to in
      for row in from..<to {
        (bottomGradient + row * run).copyMemory(from: topGradient + row * topRun + start, byteCount: run)
      }
    }
  }

  private var grain: Int { max(1, CPUConcat.grainBytes / max(1, topRun)) }
}
