/// A learned blob of a layer: weights, a bias, running statistics. Always plain float32.
///
/// It can belong to several layers (shared by `param { name }`) and to several nets (training and test).
package final class Parameter {
  package let shape: Shape
  /// The learning rate and the decay of the solver are multiplied by these (`lr_mult`, `decay_mult`).
  package var learningRateMultiplier: Float
  package var decayMultiplier: Float
  /// Grows whenever the values change, so that ops know when a packed copy is stale.
  package private(set) var version = 0
  /// True from `clearGradient` until something is added: the first addition then overwrites.
  package private(set) var gradientIsClear = true

  private let valueMemory: Memory
  private var gradientMemory: Memory?

  package init(shape: Shape, learningRateMultiplier: Float = 1, decayMultiplier: Float = 1) {
    self.shape = shape
    self.learningRateMultiplier = learningRateMultiplier
    self.decayMultiplier = decayMultiplier
    valueMemory = Memory(byteCount: shape.count * MemoryLayout<Float>.stride)
  }

  package var count: Int { shape.count }
  package var isLearned: Bool { learningRateMultiplier != 0 }

  package var values: UnsafeMutablePointer<Float> { valueMemory.base.assumingMemoryBound(to: Float.self) }

  /// To be called after every change of `values`.
  package func touch() { version += 1 }

  /// The sum of what has been added since the last clear; made on first use, since many parameters never learn.
  package var gradients: UnsafeMutablePointer<Float> {
    let memory = gradientMemory ?? Memory(byteCount: shape.count * MemoryLayout<Float>.stride)
    gradientMemory = memory
    return memory.base.assumingMemoryBound(to: Float.self)
  }

  /// Forgets the gradient without touching its memory.
  package func clearGradient() { gradientIsClear = true }

  /// Hands out the gradient to be added to. `overwrite` is true when there is nothing to add to yet and the memory's
  /// contents do not count.
  package func accumulate(_ body: (_ gradients: UnsafeMutablePointer<Float>, _ overwrite: Bool) throws -> Void) rethrows
  {
    try body(gradients, gradientIsClear)
    gradientIsClear = false
  }

  /// The gradient with zeros where nothing was added.
  package func settledGradients() -> UnsafeMutablePointer<Float> {
    if gradientIsClear {
      gradients.update(repeating: 0, count: count)
      gradientIsClear = false
    }
    return gradients
  }
}
