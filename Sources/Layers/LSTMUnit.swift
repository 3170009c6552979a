import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// One step of a long short-term memory (Hochreiter, Schmidhuber, 1997; the form of Donahue et al., CVPR 2015).
///
/// Bottoms: cell c' (1 x N x D), gate inputs x (1 x N x 4D, in the order i f o g) and continuation marks (1 x N: 0 at the
/// start of a sequence, 1 within). Tops: cell c and output h, 1 x N x D.
/// c = mark s(x_f) c' + s(x_i) tanh(x_g), h = s(x_o) tanh(c), s the logistic function. The marks take no gradient.
package struct LSTMUnit: Layer {
  package static let type = "LSTMUnit"
  package static let parameterFields: [String]? = []
  package static let bottomCount = 3...3
  package static let topCount = 2...2

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func takesGradient(bottom index: Int) -> Bool { index < 2 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let (cell, gates, marks) = (bottoms[0], bottoms[1], bottoms[2])
    guard cell.rank == 3, cell[0] == 1, gates == [1, cell[1], 4 * cell[2]], marks == [1, cell[1]] else {
      throw fields.fault(
        .badShape, "needs a cell 1 x N x D, gates 1 x N x 4D and marks 1 x N, but they are \(cell), \(gates), \(marks)")
    }
    return LayerShapes(tops: [cell, cell])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let shape = binding.bottomShapes[0]
    let bottoms = (0..<3).map { binding.bottom($0) }
    binding.backwardReads(bottoms: [bottoms[0], bottoms[2]])
    let bytes = shape.count * MemoryLayout<Float>.stride
    return Run(
      LSTMCell(engine: binding.engine, streams: shape[1], outputs: shape[2]), bottoms,
      [binding.top(0), binding.top(1)],
      gates: binding.workspace(4 * bytes), squashed: binding.workspace(bytes),
      gradients: binding.scratch(7 * bytes))
  }

  private final class Run: LayerRun {
    private let cell: LSTMCell
    private let bottoms: [Blob]
    private let tops: [Blob]
    private let gates: Region
    private let squashed: Region
    private let gradients: Region

    init(_ cell: LSTMCell, _ bottoms: [Blob], _ tops: [Blob], gates: Region, squashed: Region, gradients: Region) {
      self.cell = cell
      self.bottoms = bottoms
      self.tops = tops
      self.gates = gates
      self.squashed = squashed
      self.gradients = gradients
    }

    func forward() {
      let g = gates.pointer.assumingMemoryBound(to: Float.self)
      g.update(from: bottoms[1].values, count: bottoms[1].count)
      cell.forward(
        previous: bottoms[0].values, gates: g, marks: bottoms[2].values, cell: tops[0].values,
        squashed: squashed.pointer.assumingMemoryBound(to: Float.self), output: tops[1].values)
    }

    func backward() {
      let count = bottoms[0].count
      let dc = gradients.pointer.assumingMemoryBound(to: Float.self)
      let (dh, zero, spare) = (dc + count, dc + 2 * count, dc + 3 * count)
      zero.update(repeating: 0, count: count)
      dc.update(from: tops[0].hasGradient ? tops[0].gradients : zero, count: count)
      dh.update(from: tops[1].hasGradient ? tops[1].gradients : zero, count: count)
      cell.backward(
        previous: bottoms[0].values, gates: gates.pointer.assumingMemoryBound(to: Float.self),
        squashed: squashed.pointer.assumingMemoryBound(to: Float.self), outputGradient: dh,
        cellGradient: dc, gateGradient: bottoms[1].hasGradient ? bottoms[1].gradients : spare)
      if bottoms[0].hasGradient { bottoms[0].gradients.update(from: dc, count: count) }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "three streams", inputs: [.normal([1, 3, 4]), .normal([1, 3, 16]), .labels([1, 3], classes: 2)],
      #"layer { name: "u" type: "LSTMUnit" bottom: "in0" bottom: "in1" bottom: "in2" top: "c" top: "h" }"#)
  ]
}

/// The arithmetic of a step; see `LSTMUnit` for the formula.
struct LSTMCell {
  let engine: any Engine
  let streams: Int
  let outputs: Int

  private var grain: Int { max(1, 2048 / max(1, outputs)) }

  /// Turns `gates` (N x 4D) from inputs into the gates' values, the marks being in the second, and writes the cell, its
  /// tanh and the output (N x D each).
  func forward(
    previous: UnsafePointer<Float>, gates: UnsafeMutablePointer<Float>, marks: UnsafePointer<Float>,
    cell: UnsafeMutablePointer<Float>, squashed: UnsafeMutablePointer<Float>, output: UnsafeMutablePointer<Float>
  ) {
    let width = outputs
    engine.parallel(streams, grain: grain) { from, to in
      for n in from..<to {
        let g = gates + 4 * n * width
        for d in 0..<(3 * width) { g[d] = -g[d] }
        for d in (3 * width)..<(4 * width) { g[d] *= -2 }
        engine.vectors.exponential(4 * width, g, g)
        for d in 0..<(3 * width) { g[d] = 1 / (1 + g[d]) }
        for d in (3 * width)..<(4 * width) { g[d] = 2 / (1 + g[d]) - 1 }
        let mark = marks[n]
        for d in 0..<width {
          let at = n * width + d
          g[width + d] = mark == 0 ? 0 : mark * g[width + d]
          let kept = mark == 0 ? 0 : g[width + d] * previous[at]
          cell[at] = kept + g[d] * g[3 * width + d]
          squashed[at] = -2 * cell[at]
        }
        let s = squashed + n * width
        engine.vectors.exponential(width, s, s)
        for d in 0..<width {
          s[d] = 2 / (1 + s[d]) - 1
          output[n * width + d] = g[2 * width + d] * s[d]
        }
      }
    }
  }

  /// `cellGradient` comes as the cell's and leaves as the previous cell's.
  func backward(
    previous: UnsafePointer<Float>, gates: UnsafePointer<Float>, squashed: UnsafePointer<Float>,
    outputGradient: UnsafePointer<Float>, cellGradient: UnsafeMutablePointer<Float>,
    gateGradient: UnsafeMutablePointer<Float>
  ) {
    let width = outputs
    engine.parallel(streams, grain: grain) { from, to in
      for n in from..<to {
        let g = gates + 4 * n * width
        let dg = gateGradient + 4 * n * width
        for d in 0..<width {
          let at = n * width + d
          let (i, f, o, input) = (g[d], g[width + d], g[2 * width + d], g[3 * width + d])
          let s = squashed[at]
          let dc = cellGradient[at] + outputGradient[at] * o * (1 - s * s)
          dg[d] = dc * input * i * (1 - i)
          dg[width + d] = f == 0 ? 0 : dc * previous[at] * f * (1 - f)
          dg[2 * width + d] = outputGradient[at] * s * o * (1 - o)
          dg[3 * width + d] = dc * i * (1 - input * input)
          cellGradient[at] = dc * f
        }
      }
    }
  }
}
