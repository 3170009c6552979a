import Compute
import Diagnostics
import Tensors

/// One piece of work of a net, with the memory that it reads and writes.
package struct Step {
  package enum Kind: String, CaseIterable, Sendable {
    case forward, backward
    /// A blob, or its gradient, into another layout.
    case reorder, reorderBack
    /// The gradients of a blob's readers are added.
    case sum
    /// The gradient of a loss is its weight.
    case seed
    /// A gradient that nobody computes is zero.
    case zero
    /// The gradients of tasks are multiplied with each other.
    case compare
    /// The gradients of tasks are multiplied by their weights.
    case weigh
  }

  package let kind: Kind
  /// Index into the net's layers; for steps between layers, the layer that makes the blob.
  package let layer: Int?
  package let name: String
  /// The blobs that it computes from and for, whichever of their data and gradients it touches.
  package let bottoms: [Blob]
  package let tops: [Blob]
  package let reads: [Region]
  package let writes: [Region]
  /// The engine's name for the kernel, where one does the work.
  package var implementation: String?
  /// The layers whose work it does besides its own.
  package var absorbed: [Int] = []
  /// Multiplications with addition; 0 where the time is not theirs.
  package var multiplyAdds = 0
  package let run: () throws -> Void
}

/// The order of a net's steps: all layers forward; then, from the losses back, for each blob its gradient and for each
/// layer its backward.
struct Schedule {
  private(set) var forward: [Step] = []
  private(set) var backward: [Step] = []
  private let engine: any Engine

  /// - Parameter ordersTasks: leaves `backward` to `TaskBackward`.
  init(_ nodes: [BoundNode], engine: any Engine, ordersTasks: Bool = false) throws {
    self.engine = engine
    Schedule.settleReorders(nodes)
    for node in nodes { forward.append(try forwardStep(node)) }
    if ordersTasks { return }
    for node in nodes.reversed() where node.runsBackward || node.kind != .reorder {
      for top in node.tops where top.blob.hasGradient { try gather(top, producer: node) }
      if node.runsBackward { backward.append(try backwardStep(node)) }
    }
  }

  /// A reorder runs backward exactly when one of its readers does and wants a gradient.
  private static func settleReorders(_ nodes: [BoundNode]) {
    for node in nodes.reversed() where node.kind == .reorder {
      node.runsBackward = node.tops[0].branches.contains { $0.reader.runsBackward && $0.blob.hasGradient }
    }
  }

  private func forwardStep(_ node: BoundNode) throws -> Step {
    guard let run = node.run else { preconditionFailure("'\(node.name)' is not bound") }
    let scratches = node.scratches.map { Region(byteCount: $0.byteCount) }
    return Step(
      kind: node.kind == .reorder ? .reorder : .forward, layer: node.layer, name: node.name, bottoms: node.bottoms,
      tops: node.tops.map(\.blob), reads: node.bottoms.map(\.dataRegion),
      writes: node.tops.map(\.blob.dataRegion) + node.workspaces + scratches,
      implementation: (run as? any DescribedRun)?.implementation, absorbed: node.absorbed,
      multiplyAdds: (run as? any DescribedRun)?.multiplyAdds.forward ?? 0,
      run: Schedule.lend(scratches, to: node.scratches, run.forward))
  }

  private func backwardStep(_ node: BoundNode) throws -> Step {
    guard let run = node.run else { preconditionFailure("'\(node.name)' is not bound") }
    let scratches = node.scratches.map { Region(byteCount: $0.byteCount) }
    let data = node.backwardReads ?? node.bottoms.map(\.dataRegion) + node.tops.map(\.blob.dataRegion)
    let topGradients = node.tops.filter(\.blob.hasGradient).map(\.blob.gradientRegion)
    return Step(
      kind: node.kind == .reorder ? .reorderBack : .backward, layer: node.layer, name: node.name,
      bottoms: node.bottoms, tops: node.tops.map(\.blob),
      reads: data + topGradients + node.workspaces,
      writes: node.bottoms.filter(\.hasGradient).map(\.gradientRegion) + scratches
        + (node.changesTopGradients ? topGradients : []),
      implementation: (run as? any DescribedRun)?.implementation, absorbed: node.absorbed,
      multiplyAdds: (run as? any DescribedRun)?.multiplyAdds.backward ?? 0,
      run: Schedule.lend(scratches, to: node.scratches, run.backward))
  }

  /// Scratch memory lives within a step: each of a layer's steps has a place of its own for it.
  private static func lend(_ places: [Region], to scratches: [Region], _ run: @escaping () throws -> Void)
    -> () throws -> Void
  {
    if scratches.isEmpty { return run }
    return {
      for index in scratches.indices { scratches[index].place(at: places[index].pointer) }
      try run()
    }
  }

  /// Makes a blob's gradient out of its readers' and, for a loss, its weight.
  private mutating func gather(_ site: BlobSite, producer: BoundNode) throws {
    let blob = site.blob
    var parts = site.branches.filter { $0.reader.runsBackward && $0.blob.hasGradient }.map(\.blob)
    if let loss = site.loss {
      let seed = parts.isEmpty ? blob : Blob(name: blob.name, shape: blob.shape, layout: blob.layout, hasGradient: true)
      backward.append(try seedStep(seed, loss, liveCount: { blob.liveCount }, producer))
      if parts.isEmpty { return }
      parts.append(seed)
    }
    switch parts.count {
    case 0:
      guard !site.isFed else { return }
      let bytes = blob.layout.byteCount(for: blob.shape)
      backward.append(
        Step(
          kind: .zero, layer: producer.layer, name: site.name, bottoms: [], tops: [blob], reads: [],
          writes: [blob.gradientRegion]
        ) {
          blob.gradient.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        })
    case 1:
      parts[0].gradientRegion.unite(with: blob.gradientRegion)
    default:
      backward.append(try sumStep(parts, into: blob, producer))
    }
  }

  private func seedStep(_ seed: Blob, _ loss: LossTerm, liveCount: @escaping () -> Int, _ producer: BoundNode) throws
    -> Step
  {
    let write = try LossSeed(seed, loss, engine: engine)
    return Step(
      kind: .seed, layer: producer.layer, name: seed.name, bottoms: [], tops: [seed], reads: [],
      writes: [seed.gradientRegion]
    ) {
      write(liveCount: liveCount(), to: seed.gradient)
    }
  }

  private func sumStep(_ parts: [Blob], into blob: Blob, _ producer: BoundNode) throws -> Step {
    let description = SumDescription(shape: blob.shape, coefficients: parts.map { _ in 1 })
    let op = try engine.sum(description, bottom: blob.layout)
    let pointers = PointerList(parts.count)
    return Step(
      kind: .sum, layer: producer.layer, name: blob.name, bottoms: parts, tops: [blob],
      reads: parts.map(\.gradientRegion), writes: [blob.gradientRegion], implementation: op.implementation
    ) {
      for (index, part) in parts.enumerated() { pointers[index] = part.gradient }
      op.forward(bottoms: pointers.base, top: blob.gradient)
    }
  }
}

extension BoundNode {
  var layer: Int? {
    if case .layer(let index) = kind { return index }
    return nil
  }
}

/// A fixed array of numbers that a step works with.
final class FloatList {
  let base: UnsafeMutablePointer<Float>

  init(_ count: Int) {
    base = .allocate(capacity: count)
    base.initialize(repeating: 0, count: count)
  }

  deinit { base.deallocate() }
}

/// A fixed array of pointers for ops that take several bottoms.
package final class PointerList {
  private let storage: UnsafeMutablePointer<UnsafeMutableRawPointer>

  package init(_ count: Int) {
    storage = .allocate(capacity: count)
    storage.initialize(repeating: UnsafeMutableRawPointer(storage), count: count)
  }

  deinit { storage.deallocate() }

  package var base: UnsafePointer<UnsafeMutableRawPointer> { UnsafePointer(storage) }

  package subscript(index: Int) -> UnsafeMutableRawPointer {
    get { storage[index] }
    set { storage[index] = newValue }
  }
}

/// Writes the weight of a loss as the gradient of its top, of the rows that there are.
struct LossSeed {
  private let loss: LossTerm
  private let count: Int
  /// For a top that other layers read in blocks, whose filling has to stay zero.
  private let blocked: (weights: FloatList, reorder: any ReorderOp)?

  init(_ top: Blob, _ loss: LossTerm, engine: any Engine) throws {
    self.loss = loss
    count = top.count
    blocked =
      top.layout == .plain
      ? nil : (FloatList(top.count), try engine.reorder(shape: top.shape, from: .plain, to: top.layout))
  }

  func callAsFunction(liveCount: Int, to gradient: UnsafeMutableRawPointer) {
    let values = blocked?.weights.base ?? gradient.assumingMemoryBound(to: Float.self)
    if liveCount < count { values.update(repeating: 0, count: count) }
    values.update(repeating: loss.weight * loss.factor, count: liveCount)
    blocked?.reorder.run(from: values, to: gradient)
  }
}
