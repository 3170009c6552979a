import Compute
import Tensors

/// A blob with memory, whose data and gradient can be set and read in plain order whatever its layout.
final class LoadedBlob {
  let blob: Blob
  private let dataMemory: Memory
  private let gradientMemory: Memory
  /// The way in and out of a layout that is not plain.
  private let crossing: (staging: Memory, fromPlain: any ReorderOp, toPlain: any ReorderOp)?

  /// - Parameter other: a blob of the same shape and layout, in whose memory this one lies.
  init(
    _ name: String, _ shape: Shape, _ layout: Layout, hasGradient: Bool, engine: any Engine,
    sharing other: LoadedBlob? = nil
  ) throws {
    blob = Blob(name: name, shape: shape, layout: layout, hasGradient: hasGradient)
    dataMemory = other?.dataMemory ?? Memory(byteCount: blob.dataRegion.byteCount)
    let sharedGradient = other?.blob.hasGradient == true ? other?.gradientMemory : nil
    gradientMemory = sharedGradient ?? Memory(byteCount: blob.gradientRegion.byteCount)
    blob.dataRegion.place(at: dataMemory.base)
    blob.gradientRegion.place(at: gradientMemory.base)
    crossing =
      layout.isPlain
      ? nil
      : (
        Memory(byteCount: Layout.plain.byteCount(for: shape)),
        try engine.reorder(shape: shape, from: .plain, to: layout),
        try engine.reorder(shape: shape, from: layout, to: .plain)
      )
  }

  func setData(_ values: [Float]) { write(values, to: blob.data) }
  func setGradient(_ values: [Float]) { write(values, to: blob.gradient) }
  func data() -> [Float] { read(blob.data) }
  func gradient() -> [Float] { read(blob.gradient) }

  /// NaN in every element, the layout's own padding included: what is not written shows.
  func poisonData() { poison(dataMemory) }
  func poisonGradient() { poison(gradientMemory) }

  private func write(_ values: [Float], to pointer: UnsafeMutableRawPointer) {
    precondition(values.count == blob.count, "\(values.count) values for '\(blob.name)' of \(blob.shape)")
    let plain = crossing?.staging.base ?? pointer
    plain.assumingMemoryBound(to: Float.self).update(from: values, count: values.count)
    crossing?.fromPlain.run(from: plain, to: pointer)
  }

  private func read(_ pointer: UnsafeMutableRawPointer) -> [Float] {
    let plain = crossing?.staging.base ?? pointer
    crossing?.toPlain.run(from: pointer, to: plain)
    return Array(UnsafeBufferPointer(start: plain.assumingMemoryBound(to: Float.self), count: blob.count))
  }

  private func poison(_ memory: Memory) {
    memory.base.initializeMemory(as: UInt8.self, repeating: 0xff, count: memory.byteCount)
  }
}
