import CKernels
import Compute

/// The vector kernels of CKernels, in parallel.
struct VectorFunctions: VectorOps {
  let pool: ThreadPool

  /// Elements to a piece: for what only moves memory, about as long as it takes to start the threads.
  private static let grain = 16384
  /// For what computes more.
  private static let smallGrain = 4096

  func axpby(_ count: Int, _ alpha: Float, _ x: UnsafePointer<Float>, _ beta: Float, _ y: UnsafeMutablePointer<Float>) {
    pool.run(count, grain: VectorFunctions.grain) { from, to in
      mtl_axpby(to - from, alpha, x + from, beta, y + from)
    }
  }

  func multiply(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>, _ z: UnsafeMutablePointer<Float>) {
    pool.run(count, grain: VectorFunctions.grain) { from, to in
      mtl_multiply(to - from, x + from, y + from, z + from)
    }
  }

  func exponential(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>) {
    pool.run(count, grain: VectorFunctions.smallGrain) { from, to in
      mtl_exponential(to - from, x + from, y + from)
    }
  }

  func logarithm(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>) {
    pool.run(count, grain: VectorFunctions.smallGrain) { from, to in
      mtl_logarithm(to - from, x + from, y + from)
    }
  }

  func hyperbolicTangent(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>) {
    pool.run(count, grain: VectorFunctions.smallGrain) { from, to in
      mtl_hyperbolic_tangent(to - from, x + from, y + from)
    }
  }

  func hyperbolicTangentBackward(
    _ count: Int, _ y: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>
  ) {
    pool.run(count, grain: VectorFunctions.grain) { from, to in
      mtl_hyperbolic_tangent_backward(to - from, y + from, dy + from, dx + from)
    }
  }

  func absoluteBackward(
    _ count: Int, _ x: UnsafePointer<Float>, _ dy: UnsafePointer<Float>, _ dx: UnsafeMutablePointer<Float>
  ) {
    pool.run(count, grain: VectorFunctions.grain) { from, to in
      mtl_absolute_backward(to - from, x + from, dy + from, dx + from)
    }
  }

  func dot(_ count: Int, _ x: UnsafePointer<Float>, _ y: UnsafePointer<Float>) -> Double {
    pool.sum(count, grain: VectorFunctions.grain) { from, to in mtl_dot(to - from, x + from, y + from) }
  }

  func sum(_ count: Int, _ x: UnsafePointer<Float>) -> Double {
    pool.sum(count, grain: VectorFunctions.grain) { from, to in mtl_sum(to - from, x + from) }
  }

  func absoluteSum(_ count: Int, _ x: UnsafePointer<Float>) -> Double {
    pool.sum(count, grain: VectorFunctions.grain) { from, to in mtl_absolute_sum(to - from, x + from) }
  }

  func isFinite(_ count: Int, _ x: UnsafePointer<Float>) -> Bool {
    pool.sum(count, grain: VectorFunctions.grain) { from, to in mtl_is_finite(to - from, x + from) ? 0 : 1 } == 0
  }
}
