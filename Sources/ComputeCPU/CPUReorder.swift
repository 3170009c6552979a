import CDNNL
import CKernels
import Compute
import Tensors

/// A blob from one format to another, by oneDNN.
final class CPUReorder: ReorderOp {
  private let primitive: Primitive
  /// For the kernels that need some; most do not.
  private let scratch: Memory

  init(shape: Shape, from: Layout, to: Layout, dnnl: OneDNN) throws {
    primitive = try dnnl.reorder(shape, from: from, to: to)
    scratch = Memory(byteCount: primitive.byteCount(MTL_SCRATCH))
    primitive.set(MTL_SCRATCH, scratch.base)
  }

  var implementation: String { primitive.implementation }

  func run(from: UnsafeRawPointer, to: UnsafeMutableRawPointer) {
    primitive.set(MTL_FROM, from)
    primitive.set(MTL_TO, to)
    primitive.run()
  }
}

/// A blob to the layout that it has already.
final class CPUCopy: ReorderOp {
  let implementation = "copy"
  private let byteCount: Int
  private let pool: ThreadPool

  init(byteCount: Int, pool: ThreadPool) {
    self.byteCount = byteCount
    self.pool = pool
  }

  func run(from: UnsafeRawPointer, to: UnsafeMutableRawPointer) {
    pool.run(byteCount, grain: 65536) { start, end in
      (to + start).copyMemory(from: from + start, byteCount: end - start)
    }
  }
}

extension OneDNN {
  /// A copy between two layouts that differ, ready to run.
  func reorder(_ shape: Shape, from: Layout, to: Layout) throws -> Primitive {
    var dims = mtl_dims(shape)
    let created = try primitive("a reorder of \(shape)") { result, dnnl in
      mtl_reorder_create(
        result, dnnl, &dims, from.format.native, from.isHalf ? MTL_BFLOAT : MTL_FLOAT, to.format.native,
        to.isHalf ? MTL_BFLOAT : MTL_FLOAT)
    }
    guard let created else { preconditionFailure("a reorder of one format to itself") }
    try created.build()
    return created
  }
}
