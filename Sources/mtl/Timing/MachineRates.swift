import Compute
import Tensors

/// What the machine can do with the engine at hand: the limits that times are held against.
struct MachineRates {
  /// Floating-point operations a second in a large product of matrices, a multiplication with addition being two.
  let product: Double
  /// Bytes a second, read and written together, in a copy that no cache holds.
  let copy: Double

  init(product: Double, copy: Double) {
    self.product = product
    self.copy = copy
  }

  init(of engine: any Engine) {
    product = MachineRates.productRate(engine)
    copy = MachineRates.copyRate(engine)
  }

  /// The shortest time for a step.
  func limit(multiplyAdds: Int, byteCount: Int) -> Double {
    multiplyAdds > 0 ? 2 * Double(multiplyAdds) / product : Double(byteCount) / copy
  }

  /// Of the largest square matrices that take a few hundredths of a second, so that a slow engine ends as well.
  private static func productRate(_ engine: any Engine) -> Double {
    var best = 0.0
    for size in [128, 256, 512, 1024, 2048] {
      let memory = (0..<3).map { _ in Memory(byteCount: size * size * MemoryLayout<Float>.stride) }
      let blobs = memory.map { $0.base.assumingMemoryBound(to: Float.self) }
      for blob in blobs { blob.update(repeating: 0.5, count: size * size) }
      let description = MatrixProduct(m: size, n: size, k: size)
      let seconds = withExtendedLifetime(memory) {
        shortest(of: 5) { engine.multiply(description, blobs[0], blobs[1], blobs[2]) }
      }
      let operations = 2 * Double(size * size) * Double(size)
      best = max(best, operations / seconds)
      if seconds > 0.03 { break }
    }
    return best
  }

  private static func copyRate(_ engine: any Engine) -> Double {
    let count = 1 << 24
    let memory = (0..<2).map { _ in Memory(byteCount: count * MemoryLayout<Float>.stride) }
    let blobs = memory.map { $0.base.assumingMemoryBound(to: Float.self) }
    let seconds = withExtendedLifetime(memory) {
      shortest(of: 5) { engine.vectors.axpby(count, 1, blobs[0], 0, blobs[1]) }
    }
    return Double(2 * count * MemoryLayout<Float>.stride) / seconds
  }

  private static func shortest(of runs: Int, _ body: () -> Void) -> Double {
    (0..<runs).map { _ in
      let start = monotonicSeconds()
      body()
      return monotonicSeconds() - start
    }.min() ?? 0
  }
}
