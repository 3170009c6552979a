import CDNNL
import Compute
import Tensors

/// Batch normalisation by oneDNN, in the bottom's format.
final class CPUBatchNorm: BatchNormOp {
  let layout: Layout
  let scratchByteCount: Int
  let implementation: String
  private let forwardPass: Primitive
  private let backwardPass: Primitive?

  init(_ description: BatchNormDescription, bottom: Layout, dnnl: OneDNN) throws {
    let format = bottom.format
    // oneDNN wants positions; how they are spread over axes does not matter.
    let shape = description.shape
    var dims = mtl_dims(shape.rank == 4 ? shape : [shape[0], shape[1], 1, shape.count(2...)])
    func primitive(_ direction: mtl_direction, _ forward: Primitive?) throws -> Primitive {
      let created = try dnnl.primitive("a batch normalisation of \(shape)") { result, dnnl in
        mtl_batch_norm_create(
          result, dnnl, &dims, format.native, description.epsilon, description.usesGlobalStatistics, direction,
          forward?.handle)
      }
      guard let created else { preconditionFailure("oneDNN made no primitive and gave no reason") }
      try created.build()
      return created
    }
    layout = Layout(format, shape)
    forwardPass = try primitive(MTL_FORWARD, nil)
    backwardPass = description.bottomGradient ? try primitive(MTL_BACKWARD_DATA, forwardPass) : nil
    scratchByteCount = max(forwardPass.byteCount(MTL_SCRATCH), backwardPass?.byteCount(MTL_SCRATCH) ?? 0)
    implementation = forwardPass.implementation
  }

  func forward(
    bottom: UnsafeRawPointer, mean: UnsafeMutablePointer<Float>, variance: UnsafeMutablePointer<Float>,
    top: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    forwardPass.set(MTL_SOURCE, bottom)
    forwardPass.set(MTL_MEAN, UnsafeMutableRawPointer(mean))
    forwardPass.set(MTL_VARIANCE, UnsafeMutableRawPointer(variance))
    forwardPass.set(MTL_DESTINATION, top)
    forwardPass.set(MTL_SCRATCH, scratch)
    forwardPass.run()
  }

  func backward(
    bottom: UnsafeRawPointer, mean: UnsafePointer<Float>, variance: UnsafePointer<Float>,
    topGradient: UnsafeRawPointer, bottomGradient: UnsafeMutableRawPointer, scratch: UnsafeMutableRawPointer
  ) {
    guard let backwardPass else { preconditionFailure("the op was made without a bottom gradient") }
    backwardPass.set(MTL_SOURCE, bottom)
    backwardPass.set(MTL_MEAN, UnsafeRawPointer(mean))
    backwardPass.set(MTL_VARIANCE, UnsafeRawPointer(variance))
    backwardPass.set(MTL_DESTINATION_GRADIENT, topGradient)
    backwardPass.set(MTL_SOURCE_GRADIENT, bottomGradient)
    backwardPass.set(MTL_SCRATCH, scratch)
    backwardPass.run()
  }
}
