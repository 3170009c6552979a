import Compute
import Nets
import Tensors

/// Several inner products of one bottom, such as the heads of many tasks, as one matrix product.
///
/// Bottom N x …, K inputs; head h has O_h outputs. The heads' weights lie below each other as one matrix of (sum of O_h) x K,
/// copied anew when one of them has changed.
final class JoinedInnerProducts: DescribedRun {
  private struct Head {
    let top: Blob
    let weights: Parameter
    let bias: Parameter?
    let outputs: Int
    /// Its first row of the joined weights.
    let row: Int
  }

  private let op: any InnerProductOp
  private let engine: any Engine
  private let bottom: Blob
  private let heads: [Head]
  private let rows: Int
  private let weights: Parameter
  private let bias: Parameter?
  private let learns: Bool
  /// The heads' tops side by side, or their gradients: N x (sum of O_h).
  private let wide: Region
  private let scratch: Region
  private var version: Int?
  let multiplyAdds: (forward: Int, backward: Int)

  /// - Parameter outputs: of the layer and those it is joined with.
  init(_ binding: LayerBinding, axis: Int, outputs: [Int], hasBias: Bool) throws {
    let shape = binding.bottomShapes[0]
    let inputs = shape.count(axis...)
    let total = outputs.reduce(0, +)
    rows = shape.count(..<axis)
    learns =
      binding.runsBackward && (binding.learns + binding.followers.flatMap(\.learns)).contains(true)
    op = try binding.engine.innerProduct(
      InnerProductDescription(
        bottomShape: shape, rows: rows, inputs: inputs, outputs: total, hasBias: hasBias, learns: learns,
        bottomGradient: binding.wantsGradient(0)))
    engine = binding.engine
    bottom = binding.bottom(0, in: op.bottomLayout)
    var heads: [Head] = []
    for (index, parameters) in ([binding.parameters] + binding.followers.map(\.parameters)).enumerated() {
      heads.append(
        Head(
          top: binding.top(index), weights: parameters[0], bias: hasBias ? parameters[1] : nil,
          outputs: outputs[index], row: outputs[..<index].reduce(0, +)))
    }
    self.heads = heads
    weights = Parameter(shape: [total, inputs])
    bias = hasBias ? Parameter(shape: [total]) : nil
    binding.backwardReads(bottoms: learns ? [bottom] : [])
    wide = binding.scratch(rows * total * MemoryLayout<Float>.stride)
    scratch = binding.scratch(op.scratchByteCount)
    let products = rows * inputs * total
    multiplyAdds = (products, products * ((learns ? 1 : 0) + (bottom.hasGradient ? 1 : 0)))
  }

  var implementation: String { "\(op.implementation) of \(heads.count)" }

  private var columns: Int { weights.shape[0] }
  private var wideValues: UnsafeMutablePointer<Float> { wide.pointer.assumingMemoryBound(to: Float.self) }

  func forward() {
    join()
    op.forward(bottom: bottom.data, weights: weights, bias: bias, top: wideValues, scratch: scratch.pointer)
    for head in heads {
      let y = head.top.values
      for row in 0..<rows {
        (y + row * head.outputs).update(from: wideValues + row * columns + head.row, count: head.outputs)
      }
    }
  }

  /// Versions only grow, so their sum changes when one does.
  private func join() {
    var current = 0
    for head in heads { current += head.weights.version + (head.bias?.version ?? 0) }
    guard version != current else { return }
    version = current
    let inputs = weights.shape[1]
    for head in heads {
      (weights.values + head.row * inputs).update(from: head.weights.values, count: head.weights.count)
      if let bias, let own = head.bias { (bias.values + head.row).update(from: own.values, count: own.count) }
    }
    weights.touch()
    bias?.touch()
  }

  func backward() {
    for head in heads {
      for row in 0..<rows {
        let place = wideValues + row * columns + head.row
        if head.top.hasGradient {
          place.update(from: head.top.gradients + row * head.outputs, count: head.outputs)
        } else {
          place.update(repeating: 0, count: head.outputs)
        }
      }
    }
    if learns {
      weights.clearGradient()
      bias?.clearGradient()
      op.backwardParameters(
        bottom: bottom.data, topGradient: wideValues, weights: weights, bias: bias, scratch: scratch.pointer)
      for head in heads where head.top.hasGradient { take(head) }
    }
    if bottom.hasGradient {
      op.backwardData(
        topGradient: wideValues, weights: weights, bottomGradient: bottom.gradient, scratch: scratch.pointer)
    }
  }

  /// Hands a head its part of the gradients.
  private func take(_ head: Head) {
    func add(_ part: UnsafeMutablePointer<Float>, to parameter: Parameter?) {
      guard let parameter, parameter.isLearned else { return }
      parameter.accumulate { gradients, overwrite in
        engine.vectors.axpby(parameter.count, 1, part, overwrite ? 0 : 1, gradients)
      }
    }
    add(weights.gradients + head.row * weights.shape[1], to: head.weights)
    if let bias { add(bias.gradients + head.row, to: head.bias) }
  }
}
