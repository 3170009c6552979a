import CDNNL
import Compute
import Tensors

/// Convolution and transposed convolution by oneDNN; backward, where much of the gradient is zero, by kernels of our own.
final class CPUConvolution: ConvolutionOp {
  let bottomLayout: Layout
  let topLayout: Layout
  let scratchByteCount: Int
  let implementation: String
  private let forwardPass: Primitive
  private let forwardWeights: PackedWeights
  private let backwardDataPass: Primitive?
  private let backwardDataWeights: PackedWeights?
  private let parameters: ConvolutionGradients?
  /// Does the backward passes where they pay.
  private let sparse: SparseGradients?
  /// What is still to be done with the top: oneDNN's rectifier would make 0 of what is not a number.
  private let sum: CPUSum?
  private let rectifier: CPURectifier?

  init(
    _ description: ConvolutionDescription, isHalf: Bool, dnnl: OneDNN, vectors: any VectorOps, pool: ThreadPool
  ) throws {
    let choice = try ConvolutionChoice.make(description, isHalf: isHalf, dnnl: dnnl)
    func packing(_ primitive: Primitive, adds: Bool = false) throws -> Primitive? {
      let created = try dnnl.primitive("a copy of weights for \(primitive.implementation)") { result, dnnl in
        withUnsafePointer(to: choice.convolution) {
          mtl_convolution_weights_create(result, dnnl, $0, primitive.handle, adds)
        }
      }
      try created?.build()
      return created
    }
    bottomLayout = Layout(choice.bottom, description.bottomShape, isHalf: choice.isHalf)
    topLayout = Layout(choice.top, description.topShape, isHalf: choice.isHalf)
    forwardPass = choice.forward
    try forwardPass.build()
    forwardWeights = PackedWeights(packing: try packing(forwardPass))
    backwardDataPass = choice.backwardData
    try backwardDataPass?.build()
    backwardDataWeights = try backwardDataPass.map { PackedWeights(packing: try packing($0)) }
    parameters = try choice.backwardWeights.map {
      try $0.build()
      return ConvolutionGradients(
        description, pass: $0, overwriting: try packing($0), adding: try packing($0, adds: true), vectors: vectors)
    }
    sparse =
      SparseGradients.canDo(description, choice)
      ? SparseGradients(description, isHalf: choice.isHalf, pool: pool) : nil
    scratchByteCount = max(
      forwardPass.byteCount(MTL_SCRATCH), backwardDataPass?.byteCount(MTL_SCRATCH) ?? 0,
      parameters?.scratchByteCount ?? 0, sparse?.scratchByteCount ?? 0)
    let addsApart = description.hasAddend && forwardPass.byteCount(MTL_ADDEND) == 0
    sum =
      addsApart
      ? CPUSum(
        SumDescription(shape: description.topShape, coefficients: [1, 1], rectifies: description.rectifies),
        layout: topLayout, pool: pool) : nil
    rectifier =
      description.rectifies && !addsApart
      ? CPURectifier(RectifierDescription(shape: description.topShape), layout: topLayout, pool: pool) : nil
    implementation = CPUConvolution.name(choice) + description.epilogueName
  }

  /// One name when all directions have the same.
  private static func name(_ choice: ConvolutionChoice) -> String {
    let names = [choice.forward, choice.backwardData, choice.backwardWeights].compactMap { $0?.implementation }
    if choice.isHalf, names.allSatisfy({ $0 == names[0] }), !names[0].contains("bf16") { return names[0] + " bf16" }
    return names.allSatisfy { $0 == names[0] } ? names[0] : names.joined(separator: ", ")
  }

  func forward(
    bottom: UnsafeRawPointer, weights: Parameter, bias: Parameter?, addend: UnsafeRawPointer?,
    top: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    forwardPass.set(MTL_SOURCE, bottom)
    if let addend { forwardPass.set(MTL_ADDEND, addend) }
    forwardPass.set(MTL_WEIGHTS, forwardWeights.pointer(weights))
    if let bias { forwardPass.set(MTL_BIAS, UnsafeRawPointer(bias.values)) }
    forwardPass.set(MTL_DESTINATION, top)
    forwardPass.set(MTL_SCRATCH, scratch)
    forwardPass.run()
    if let sum, let addend {
      let terms = (top, UnsafeMutableRawPointer(mutating: addend))
      withUnsafePointer(to: terms) {
        $0.withMemoryRebound(to: UnsafeMutableRawPointer.self, capacity: 2) { sum.forward(bottoms: $0, top: top) }
      }
    }
    rectifier?.forward(bottom: top, top: top)
  }

  func backwardData(
    topGradient: UnsafeRawPointer, weights: Parameter, bottomGradient: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    guard let backwardDataPass, let backwardDataWeights else {
      preconditionFailure("the op was made without a bottom gradient")
    }
    if let sparse, sparse.pay(topGradient) {
      sparse.backwardData(
        topGradient: topGradient, weights: weights, bottomGradient: bottomGradient, scratch: scratch)
      return
    }
    backwardDataPass.set(MTL_DESTINATION_GRADIENT, topGradient)
    backwardDataPass.set(MTL_WEIGHTS, backwardDataWeights.pointer(weights))
    backwardDataPass.set(MTL_SOURCE_GRADIENT, bottomGradient)
    backwardDataPass.set(MTL_SCRATCH, scratch)
    backwardDataPass.run()
  }

  var tasksAtOnce: Int { sparse?.tasksAtOnce ?? 1 }

  func backwardParameters(
    bottom: UnsafeRawPointer, topGradient: UnsafeRawPointer, weights: Parameter, bias: Parameter?,
    scratch: UnsafeMutableRawPointer
  ) {
    withUnsafePointer(to: UnsafeMutableRawPointer(mutating: topGradient)) {
      backwardParameters(
        bottom: bottom, topGradients: $0, count: 1, weights: weights, bias: bias, scratch: scratch, select: { _ in })
    }
  }

  func backwardParameters(
    bottom: UnsafeRawPointer, topGradients: UnsafePointer<UnsafeMutableRawPointer>, count: Int, weights: Parameter,
    bias: Parameter?, scratch: UnsafeMutableRawPointer, select: (Int) -> Void
  ) {
    guard let parameters else { preconditionFailure("the op was made without learning") }
    if let sparse, (0..<count).allSatisfy({ sparse.pay(topGradients[$0]) }) {
      sparse.backwardParameters(
        bottom: bottom, topGradients: topGradients, count: count, weights: weights, bias: bias, scratch: scratch,
        select: select)
      return
    }
    for task in 0..<count {
      select(task)
      parameters.add(
        bottom: bottom, topGradient: topGradients[task], weights: weights, bias: bias, scratch: scratch)
    }
  }
}

private func aligned(_ byteCount: Int) -> Int {
  (byteCount + Memory.alignment - 1) / Memory.alignment * Memory.alignment
}

/// Adds the gradients of weights and bias to what their parameters hold.
private final class ConvolutionGradients {
  let scratchByteCount: Int
  private let pass: Primitive
  /// Copies the gradient from the primitive's form to the parameter's; nil when they are the same.
  private let overwriting: Primitive?
  private let adding: Primitive
  private let copyScratch: Memory
  private let vectors: any VectorOps
  /// Where in the scratch memory the gradients are; the primitive's own comes first.
  private let weightsOffset: Int
  private let biasOffset: Int

  init(
    _ description: ConvolutionDescription, pass: Primitive, overwriting: Primitive?, adding: Primitive?,
    vectors: any VectorOps
  ) {
    guard let adding else { preconditionFailure("adding is never nothing to do") }
    self.pass = pass
    self.overwriting = overwriting
    self.adding = adding
    self.vectors = vectors
    weightsOffset = aligned(pass.byteCount(MTL_SCRATCH))
    biasOffset = weightsOffset + aligned(pass.byteCount(MTL_WEIGHTS_GRADIENT))
    scratchByteCount = biasOffset + pass.byteCount(MTL_BIAS_GRADIENT)
    copyScratch = Memory(
      byteCount: max(adding.byteCount(MTL_SCRATCH), overwriting?.byteCount(MTL_SCRATCH) ?? 0))
    adding.set(MTL_SCRATCH, copyScratch.base)
    overwriting?.set(MTL_SCRATCH, copyScratch.base)
  }

  func add(
    bottom: UnsafeRawPointer, topGradient: UnsafeRawPointer, weights: Parameter, bias: Parameter?,
    scratch: UnsafeMutableRawPointer
  ) {
    let ownGradient = scratch + weightsOffset
    let biasGradient = scratch + biasOffset
    // Straight into the parameter when there is nothing to convert and nothing to add to.
    let isStraight = overwriting == nil && weights.isLearned && weights.gradientIsClear
    pass.set(MTL_SOURCE, bottom)
    pass.set(MTL_DESTINATION_GRADIENT, topGradient)
    pass.set(MTL_WEIGHTS_GRADIENT, isStraight ? UnsafeMutableRawPointer(weights.gradients) : ownGradient)
    pass.set(MTL_BIAS_GRADIENT, biasGradient)
    pass.set(MTL_SCRATCH, scratch)
    pass.run()
    if weights.isLearned {
      weights.accumulate { gradients, overwrite in
        if isStraight { return }
        let copy = overwrite ? overwriting ?? adding : adding
        copy.set(MTL_FROM, UnsafeRawPointer(ownGradient))
        copy.set(MTL_TO, UnsafeMutableRawPointer(gradients))
        copy.run()
      }
    }
    if let bias, bias.isLearned {
      bias.accumulate { gradients, overwrite in
        vectors.axpby(bias.count, 1, biasGradient.floats, overwrite ? 0 : 1, gradients)
      }
    }
  }
}
