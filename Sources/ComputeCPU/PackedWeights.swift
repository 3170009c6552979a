import CDNNL
import Tensors

/// Weights in the form that a primitive wants, kept until the parameter changes.
final class PackedWeights {
  /// nil when the primitive reads the parameter as it is.
  private let packing: Primitive?
  private let memory: Memory
  private let scratch: Memory
  private var packed: (parameter: Parameter, version: Int)?

  /// - Parameter packing: built.
  init(packing: Primitive?) {
    self.packing = packing
    memory = Memory(byteCount: packing?.byteCount(MTL_TO) ?? 0)
    scratch = Memory(byteCount: packing?.byteCount(MTL_SCRATCH) ?? 0)
    packing?.set(MTL_TO, memory.base)
    packing?.set(MTL_SCRATCH, scratch.base)
  }

  func pointer(_ weights: Parameter) -> UnsafeRawPointer {
    guard let packing else { return UnsafeRawPointer(weights.values) }
    if packed?.parameter !== weights || packed?.version != weights.version {
      packing.set(MTL_FROM, UnsafeRawPointer(weights.values))
      packing.run()
      packed = (weights, weights.version)
    }
    return UnsafeRawPointer(memory.base)
  }
}
