import Compute
import Tensors

/// An op that an engine made for a case, with memory of its own: load the inputs, run the passes, read the results.
///
/// Blobs are in the layouts that the op asked for; inputs and results cross over outside the passes, so that a pass
/// can be timed alone.
package final class OpRun {
  package enum Pass: String, CaseIterable, Sendable {
    case forward
    case backwardData = "backward data"
    case backwardParameters = "backward parameters"
  }

  /// The layout of the bottoms that are offered to ops that take any.
  package enum Offer: String, CaseIterable, Sendable {
    case plain
    /// The one in which the engine's convolutions leave a top of that shape.
    case convolution
  }

  /// One blob that an op wrote, in the order of its shape.
  package struct Result: Sendable {
    package let name: String
    package let values: [Float]
  }

  package let opCase: OpCase
  package let engine: any Engine
  /// Whether the top lies in the first bottom's memory.
  package let isInPlace: Bool
  /// The engine's name for its kernel.
  package internal(set) var implementation = ""
  /// Those that the op has for this case.
  package private(set) var passes: [Pass] = []

  private(set) var bottoms: [LoadedBlob] = []
  private(set) var top: LoadedBlob
  private(set) var weights: Parameter?
  private(set) var bias: Parameter?
  var mean: LoadedBlob?
  var variance: LoadedBlob?
  var mask: LoadedBlob?
  private var bodies: [Pass: () -> Void] = [:]
  private var buffers: [Memory] = []

  /// In place a run has only those of the op's passes that can run so.
  ///
  /// - Throws: whatever the engine throws when it cannot make the op.
  package init(_ opCase: OpCase, on engine: any Engine, offer: Offer = .plain, isInPlace: Bool = false) throws {
    self.opCase = opCase
    self.engine = engine
    self.isInPlace = isInPlace
    let learns = opCase.learns
    if let shape = opCase.weightShape { weights = Parameter(shape: shape, learningRateMultiplier: learns ? 1 : 0) }
    if let shape = opCase.biasShape { bias = Parameter(shape: shape, learningRateMultiplier: learns ? 1 : 0) }
    top = try LoadedBlob("top", opCase.topShape, .plain, hasGradient: false, engine: engine)
    try bind(offered: opCase.bottomShapes.map { try OpRun.layout(offer, $0, engine) })
  }

  private static func layout(_ offer: Offer, _ shape: Shape, _ engine: any Engine) throws -> Layout {
    guard offer == .convolution, (3...5).contains(shape.rank) else { return .plain }
    let extents = Array(shape.dims.dropFirst(2))
    let convolution = ConvolutionDescription(
      batch: shape[0], bottomChannels: shape[1], topChannels: shape[1], bottomExtents: extents, topExtents: extents,
      kernel: extents.map { _ in 3 }, stride: extents.map { _ in 1 }, padBefore: extents.map { _ in 1 },
      dilation: extents.map { _ in 1 }, hasBias: true)
    return try engine.convolution(convolution).topLayout
  }

  /// Gives the op its blobs; every layout that is not named is plain.
  func makeBlobs(bottoms bottomLayouts: [Layout], top topLayout: Layout, hasGradients: Bool) throws {
    bottoms = try bottomLayouts.enumerated().map { index, layout in
      try LoadedBlob(
        "bottom \(index)", opCase.bottomShapes[index], layout, hasGradient: hasGradients, engine: engine)
    }
    top = try LoadedBlob(
      "top", opCase.topShape, topLayout, hasGradient: true, engine: engine, sharing: isInPlace ? bottoms[0] : nil)
  }

  func makePlainBlob(_ name: String, _ shape: Shape) throws -> LoadedBlob {
    try LoadedBlob(name, shape, .plain, hasGradient: false, engine: engine)
  }

  /// Scratch or workspace of an op.
  func makeBuffer(_ byteCount: Int) -> UnsafeMutableRawPointer {
    let memory = Memory(byteCount: byteCount)
    buffers.append(memory)
    return memory.base
  }

  func setBody(_ pass: Pass, _ body: @escaping () -> Void) {
    guard !isInPlace || opCase.inPlacePasses.contains(pass) else { return }
    passes.append(pass)
    bodies[pass] = body
  }

  /// Fills all that the op reads, and all that it must write with NaN.
  package func load(_ inputs: OpInputs) {
    for (bottom, values) in zip(bottoms, inputs.bottoms) {
      bottom.setData(values)
      bottom.poisonGradient()
    }
    for (parameter, values) in [(weights, inputs.weights), (bias, inputs.bias)] {
      guard let parameter else { continue }
      parameter.values.update(from: values, count: parameter.count)
      parameter.touch()
      parameter.clearGradient()
      if parameter.isLearned { parameter.gradients.update(repeating: .nan, count: parameter.count) }
    }
    for (statistic, values) in [(mean, inputs.mean), (variance, inputs.variance)] {
      if values.isEmpty { statistic?.poisonData() } else { statistic?.setData(values) }
    }
    if !inputs.initialTop.isEmpty {
      top.setData(inputs.initialTop)
    } else if !isInPlace {
      top.poisonData()
    }
    mask?.poisonData()
    if top.blob.hasGradient { top.setGradient(inputs.topGradient) }
    for buffer in buffers { buffer.base.initializeMemory(as: UInt8.self, repeating: 0xff, count: buffer.byteCount) }
  }

  /// - Precondition: `pass` is one of `passes`; backward passes come after a forward pass.
  package func run(_ pass: Pass) {
    guard let body = bodies[pass] else { preconditionFailure("'\(opCase)' has no pass \(pass.rawValue)") }
    body()
  }

  /// What a pass wrote.
  package func results(of pass: Pass) -> [Result] {
    switch pass {
    case .forward:
      let others = [mean, variance, mask].compactMap { $0 }
      return ([top] + others).map { Result(name: $0.blob.name, values: $0.data()) }
    case .backwardData:
      return bottoms.map { Result(name: "gradient of \($0.blob.name)", values: $0.gradient()) }
    case .backwardParameters:
      return [("weights", weights), ("bias", bias)].compactMap { name, parameter in
        guard let parameter, parameter.isLearned else { return nil }
        let values = UnsafeBufferPointer(start: parameter.gradients, count: parameter.count)
        return Result(name: "gradient of \(name)", values: Array(values))
      }
    }
  }
}

extension OpCase {
  /// Whether weights and bias, if the op has any, learn.
  var learns: Bool {
    switch operation {
    case .convolution(let description): description.learns
    case .innerProduct(let description): description.learns
    case .batchNorm(let description): description.learns
    default: false
    }
  }
}
