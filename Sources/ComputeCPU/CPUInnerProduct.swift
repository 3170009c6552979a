import CKernels
import Compute
import Tensors

/// Matrix products over plain blobs. Packing the weights, as oneDNN's inner product wants it, costs more than it gains
/// in training, where they change in every iteration.
final class CPUInnerProduct: InnerProductOp {
  let bottomLayout = Layout.plain
  let scratchByteCount = 0
  let implementation = "product"
  private let description: InnerProductDescription
  private let engine: CPUEngine

  init(_ description: InnerProductDescription, engine: CPUEngine) {
    self.description = description
    self.engine = engine
  }

  func forward(
    bottom: UnsafeRawPointer, weights: Parameter, bias: Parameter?, top: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutableRawPointer
  ) {
    let (rows, outputs) = (description.rows, description.outputs)
    if let bias = bias?.values {
      engine.parallel(rows, grain: max(1, 16384 / max(1, outputs))) { from, to in
        mtl_set_rows(to - from, outputs, bias, top + from * outputs)
      }
    }
    engine.multiply(
      MatrixProduct(
        m: rows, n: outputs, k: description.inputs, transposeB: !description.isTransposed, beta: bias == nil ? 0 : 1),
      bottom.floats, weights.values, top)
  }

  func backwardData(
    topGradient: UnsafePointer<Float>, weights: Parameter, bottomGradient: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    engine.multiply(
      MatrixProduct(
        m: description.rows, n: description.inputs, k: description.outputs, transposeB: description.isTransposed),
      topGradient, weights.values, bottomGradient.floats)
  }

  func backwardParameters(
    bottom: UnsafeRawPointer, topGradient: UnsafePointer<Float>, weights: Parameter, bias: Parameter?,
    scratch: UnsafeMutableRawPointer
  ) {
    let (rows, inputs, outputs) = (description.rows, description.inputs, description.outputs)
    if weights.isLearned {
      weights.accumulate { gradients, overwrite in
        let beta: Float = overwrite ? 0 : 1
        if description.isTransposed {
          engine.multiply(
            MatrixProduct(m: inputs, n: outputs, k: rows, transposeA: true, beta: beta), bottom.floats, topGradient,
            gradients)
        } else {
          engine.multiply(
            MatrixProduct(m: outputs, n: inputs, k: rows, transposeA: true, beta: beta), topGradient, bottom.floats,
            gradients)
        }
      }
    }
    if let bias, bias.isLearned {
      bias.accumulate { gradients, overwrite in mtl_sum_rows(rows, outputs, topGradient, !overwrite, gradients) }
    }
  }
}
