import CKernels
import Compute
import Tensors

/// Inner products with factors rounded to bfloat: half as many instructions, and the weights are read once, as floats,
/// where they lie.
final class BFloatInnerProduct: InnerProductOp {
  let bottomLayout = Layout.plain
  let scratchByteCount: Int
  let implementation = "product bf16"
  private let description: InnerProductDescription
  private let pool: ThreadPool

  /// Multiplications with addition that are worth a thread.
  private static let grain = 524_288

  /// Rounding a batch's rows is worth it for all but small layers; many rows are better off in a library's product.
  static func suits(_ d: InnerProductDescription) -> Bool {
    (2...512).contains(d.rows) && d.rows * d.inputs * d.outputs >= 1_000_000
  }

  init(_ description: InnerProductDescription, pool: ThreadPool) {
    self.description = description
    self.pool = pool
    let (rows, pairs) = (description.rows, mtl_bfloat_pairs(description.rows))
    let lines = rows * max(mtl_bfloat_row(description.inputs), mtl_bfloat_row(description.outputs))
    let gradient =
      description.learns
      ? pairs * (BFloatInnerProduct.side(description.inputs) + BFloatInnerProduct.side(description.outputs)) : 0
    scratchByteCount = max(lines * MemoryLayout<UInt16>.stride, gradient * MemoryLayout<UInt32>.stride)
  }

  /// Room for one side of a gradient's factors, whichever of the two forms it takes.
  private static func side(_ count: Int) -> Int { mtl_bfloat_span(count) }

  func forward(
    bottom: UnsafeRawPointer, weights: Parameter, bias: Parameter?, top: UnsafeMutablePointer<Float>,
    scratch: UnsafeMutableRawPointer
  ) {
    multiply(
      bottom.floats, steps: description.inputs, weights.values, columns: description.outputs,
      byRows: !description.isTransposed, top, scratch)
    guard let bias = bias?.values else { return }
    let outputs = description.outputs
    pool.run(description.rows, grain: max(1, 16384 / max(1, outputs))) { from, to in
      for row in from..<to { mtl_axpby(outputs, 1, bias, 1, top + row * outputs) }
    }
  }

  func backwardData(
    topGradient: UnsafePointer<Float>, weights: Parameter, bottomGradient: UnsafeMutableRawPointer,
    scratch: UnsafeMutableRawPointer
  ) {
    multiply(
      topGradient, steps: description.outputs, weights.values, columns: description.inputs,
      byRows: description.isTransposed, bottomGradient.floats, scratch)
  }

  /// c (rows x columns) = a (rows x steps) times the weights, which are columns x steps when `byRows`, else steps x columns.
  private func multiply(
    _ a: UnsafePointer<Float>, steps: Int, _ weights: UnsafePointer<Float>, columns: Int, byRows: Bool,
    _ c: UnsafeMutablePointer<Float>, _ scratch: UnsafeMutableRawPointer
  ) {
    let rows = description.rows
    let rounded = scratch.assumingMemoryBound(to: UInt16.self)
    pool.run(rows, grain: max(1, 32768 / steps)) { from, to in mtl_bfloat_rows(from, to, steps, a, rounded) }
    if byRows {
      pool.run(columns, grain: max(4, BFloatInnerProduct.grain / (rows * steps))) { from, to in
        mtl_bfloat_inner(from, to, rows, steps, rounded, weights, false, c, columns)
      }
    } else {
      let span = mtl_bfloat_span(1)
      pool.run((columns + span - 1) / span, grain: max(1, BFloatInnerProduct.grain / (rows * steps * span))) {
        from, to in
        mtl_bfloat_outer(from * span, min(to * span, columns), rows, steps, rounded, weights, columns, c)
      }
    }
  }

  func backwardParameters(
    bottom: UnsafeRawPointer, topGradient: UnsafePointer<Float>, weights: Parameter, bias: Parameter?,
    scratch: UnsafeMutableRawPointer
  ) {
    let (rows, inputs, outputs) = (description.rows, description.inputs, description.outputs)
    if weights.isLearned {
      weights.accumulate { gradients, overwrite in
        if description.isTransposed {
          multiply(
            (bottom.floats, inputs), (topGradient, outputs), gradients, adds: !overwrite, scratch)
        } else {
          multiply(
            (topGradient, outputs), (bottom.floats, inputs), gradients, adds: !overwrite, scratch)
        }
      }
    }
    if let bias, bias.isLearned {
      bias.accumulate { gradients, overwrite in mtl_sum_rows(rows, outputs, topGradient, !overwrite, gradients) }
    }
  }

  /// The gradient of weights, a.count x b.count: the sum over the batch of the products of both sides.
  private func multiply(
    _ a: (values: UnsafePointer<Float>, count: Int), _ b: (values: UnsafePointer<Float>, count: Int),
    _ c: UnsafeMutablePointer<Float>, adds: Bool, _ scratch: UnsafeMutableRawPointer
  ) {
    let rows = description.rows
    let pairs = mtl_bfloat_pairs(rows)
    let wide = scratch.assumingMemoryBound(to: UInt32.self)
    let turned = wide + pairs * BFloatInnerProduct.side(b.count)
    pool.run(pairs, grain: max(1, 16384 / b.count)) { from, to in
      mtl_bfloat_columns(from, to, rows, b.count, b.values, wide)
    }
    pool.run(a.count, grain: max(1, 16384 / rows)) { from, to in
      mtl_bfloat_turned(from, to, rows, a.count, a.values, turned)
    }
    pool.run(a.count, grain: max(1, BFloatInnerProduct.grain / (rows * b.count))) { from, to in
      mtl_bfloat_gradient(from, to, rows, turned, wide, b.count, adds, c)
    }
  }
}
