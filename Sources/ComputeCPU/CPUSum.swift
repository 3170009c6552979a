import CKernels
import Compute
import Tensors

/// Of gradients in bfloat, added as floats.
final class CPUHalfSum: SumOp {
  let layout: Layout
  let implementation = "add halves"
  private let count: Int
  private let bottomCount: Int
  private let pool: ThreadPool

  /// - Precondition: all coefficients are 1 and nothing is rectified, as in sums of gradients.
  init(_ description: SumDescription, layout: Layout, pool: ThreadPool) {
    precondition(description.coefficients.allSatisfy { $0 == 1 } && !description.rectifies)
    self.layout = layout
    count = layout.byteCount(for: description.shape) / MemoryLayout<UInt16>.stride
    bottomCount = description.coefficients.count
    self.pool = pool
  }

  func forward(bottoms: UnsafePointer<UnsafeMutableRawPointer>, top: UnsafeMutableRawPointer) {
    bottoms.withMemoryRebound(to: UnsafeMutableRawPointer?.self, capacity: bottomCount) { terms in
      pool.run(count, grain: 16384) { [bottomCount] from, to in mtl_add_halves(from, to, bottomCount, terms, top) }
    }
  }
}

/// In any layout. Piece by piece, so that the top's part stays in the cache while bottom after bottom is added to it.
final class CPUSum: SumOp {
  let layout: Layout
  let implementation: String
  private let count: Int
  private let coefficients: [Float]
  private let rectifies: Bool
  private let pool: ThreadPool

  private static let grain = 16384
  private static let part = 4096

  init(_ description: SumDescription, layout: Layout, pool: ThreadPool) {
    self.layout = layout
    count = layout.byteCount(for: description.shape) / MemoryLayout<Float>.stride
    coefficients = description.coefficients
    rectifies = description.rectifies
    implementation = rectifies ? "axpby+rectify" : "axpby"
    self.pool = pool
  }

  func forward(bottoms: UnsafePointer<UnsafeMutableRawPointer>, top: UnsafeMutableRawPointer) {
    let top = top.floats
    let (coefficients, rectifies) = (coefficients, rectifies)
    pool.run(count, grain: CPUSum.grain) { from, to in
      var start = from
      while start < to {
        let length = min(CPUSum.part, to - start)
        for (index, coefficient) in coefficients.enumerated() {
          mtl_axpby(length, coefficient, bottoms[index].floats + start, index == 0 ? 0 : 1, top + start)
        }
        if rectifies { mtl_rectify(length, 0, top + start, top + start) }
        start += length
      }
    }
  }
}
