import CKernels
import Compute
import Tensors

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
    count = layout.elementCount(for: description.shape)
    coefficients = description.coefficients
    rectifies = description.rectifies
    implementation = "axpby" + (rectifies ? "+rectify" : "") + (layout.isHalf ? " bf16" : "")
    self.pool = pool
  }

  func forward(bottoms: UnsafePointer<UnsafeMutableRawPointer>, top: UnsafeMutableRawPointer) {
    if layout.isHalf { return addHalves(bottoms, top) }
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

  /// Added as floats. Threads take whole vectors, since neither may read what the other one writes.
  private func addHalves(_ bottoms: UnsafePointer<UnsafeMutableRawPointer>, _ top: UnsafeMutableRawPointer) {
    let (count, coefficients, rectifies) = (count, coefficients, rectifies)
    bottoms.withMemoryRebound(to: UnsafeMutableRawPointer?.self, capacity: coefficients.count) { terms in
      pool.run((count + 15) / 16, grain: CPUSum.grain / 16) { from, to in
        mtl_sum_halves(from * 16, min(to * 16, count), coefficients.count, coefficients, rectifies, terms, top)
      }
    }
  }
}
