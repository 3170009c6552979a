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
  package var gradientIsClear: Bool { isClear[selected] }

  private let valueMemory: Memory
  /// One gradient, or one for each task that shares the parameter.
  private var gradientMemories: [Memory?] = [nil]
  private var isClear = [true]
  private var selected = 0

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
  package var gradients: UnsafeMutablePointer<Float> { gradients(of: selected) }

  /// Forgets the gradient, all of them where there are several, without touching memory, and selects the first.
  package func clearGradient() {
    for index in isClear.indices { isClear[index] = true }
    selected = 0
  }

  // MARK: One for each task

  /// Keeps several gradients side by side. The first is the one of a parameter that has one alone.
  package func keepGradients(_ count: Int) {
    gradientMemories += [Memory?](repeating: nil, count: max(0, count - gradientMemories.count))
    isClear += [Bool](repeating: true, count: max(0, count - isClear.count))
  }

  /// Makes gradient `index` the one that is read, added to and asked about.
  package func selectGradient(_ index: Int) { selected = index }

  package func gradients(of index: Int) -> UnsafeMutablePointer<Float> {
    let memory = gradientMemories[index] ?? Memory(byteCount: shape.count * MemoryLayout<Float>.stride)
    gradientMemories[index] = memory
    return memory.base.assumingMemoryBound(to: Float.self)
  }

  package func isGradientClear(_ index: Int) -> Bool { isClear[index] }

  /// Forgets the selected gradient.
  package func clearSelectedGradient() { isClear[selected] = true }

  // MARK: Adding

  /// Hands out the gradient to be added to. `overwrite` is true when there is nothing to add to yet and the memory's
  /// contents do not count.
  package func accumulate(_ body: (_ gradients: UnsafeMutablePointer<Float>, _ overwrite: Bool) throws -> Void) rethrows
  {
    try body(gradients, gradientIsClear)
    isClear[selected] = false
  }

  /// The gradient with zeros where nothing was added.
  package func settledGradients() -> UnsafeMutablePointer<Float> {
    if gradientIsClear {
      gradients.update(repeating: 0, count: count)
      isClear[selected] = false
    }
    return gradients
  }
}
