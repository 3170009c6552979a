import Compute
import Tensors

/// top[r, o] = sum over i of bottom[r, i] weights[o, i], plus bias[o]; weights[i, o] when they are transposed.
///
/// bottom gradient[r, i] = sum over o of top gradient[r, o] weights[o, i];
/// weight gradient[o, i] = sum over r of top gradient[r, o] bottom[r, i]; bias gradient[o] = sum over r of the same.
final class ReferenceInnerProduct: InnerProductOp {
  let bottomLayout = Layout.plain
  let scratchByteCount = 0
  let implementation = "reference"
  private let description: InnerProductDescription
  private let engine: ReferenceEngine

  init(_ description: InnerProductDescription, engine: ReferenceEngine) {
    self.description = description
    self.engine = engine
  }

  func forward(
    bottom: UnsafeRawPointer, weights: Parameter, bias: Parameter?, top: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutableRawPointer
  ) {
    let (rows, inputs, outputs) = (description.rows, description.inputs, description.outputs)
    let product = MatrixProduct(m: rows, n: outputs, k: inputs, transposeB: !description.isTransposed)
    engine.multiply(product, bottom.floats, weights.values, top)
    guard let bias = bias?.values else { return }
    for row in 0..<rows {
      for output in 0..<outputs { top[row * outputs + output] += bias[output] }
    }
  }

  func backwardData(
    topGradient: UnsafePointer<Float>, weights: Parameter, bottomGradient: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    let product = MatrixProduct(
      m: description.rows, n: description.inputs, k: description.outputs, transposeB: description.isTransposed)
    engine.multiply(product, topGradient, weights.values, bottomGradient.floats)
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
          let product = MatrixProduct(m: inputs, n: outputs, k: rows, transposeA: true, beta: beta)
          engine.multiply(product, bottom.floats, topGradient, gradients)
        } else {
          let product = MatrixProduct(m: outputs, n: inputs, k: rows, transposeA: true, beta: beta)
          engine.multiply(product, topGradient, bottom.floats, gradients)
        }
      }
    }
    if let bias, bias.isLearned {
      bias.accumulate { gradients, overwrite in
        if overwrite { gradients.update(repeating: 0, count: outputs) }
        for row in 0..<rows {
          for output in 0..<outputs { gradients[output] += topGradient[row * outputs + output] }
        }
      }
    }
  }
}
