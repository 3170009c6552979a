import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// A simple recurrent network over T steps of N streams: h_t = tanh(x_t W_x + b + mark_t h_(t-1) W_h (+ static W_s)),
/// o_t = tanh(h_t W_o + b_o).
///
/// Bottoms: x (T x N x …), marks (T x N: 0 where a sequence starts, 1 within it), optionally a static input (N x …), and
/// with `expose_hidden` the state h before the first step (1 x N x num_output). Tops: o at all steps (T x N x
/// num_output), with `expose_hidden` also the last h. Parameters: W_x (num_output x inputs), b, W_s if there is a static
/// input, W_h, W_o (num_output x num_output), b_o. What is said of states and gradients at LSTM holds here.
package struct RNN: RefusedLayer {
  package static let type = "RNN"
  package static let parameterFields: [String]? = ["recurrent_param"]
  package static let bottomCount = 2...4
  package static let topCount = 1...2

  private let recurrent: RecurrentFields

  package init(_ fields: LayerFields) throws { recurrent = try RecurrentFields(fields, states: 1) }

  package func takesGradient(bottom index: Int) -> Bool { recurrent.takesGradient(bottom: index) }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    try recurrent.check(bottoms)
    let outputs = recurrent.outputs
    return LayerShapes(
      tops: recurrent.tops(bottoms),
      parameters: recurrent.inputParameters(bottoms, gates: outputs) + [
        recurrent.weights("hidden weights", outputs, outputs), recurrent.weights("output weights", outputs, outputs),
        ParameterDefinition(name: "output bias", shape: [outputs], filler: recurrent.param.biasFiller),
      ])
  }

  package var refusal: Diagnostic? { recurrent.refusal }

  package func multiplyAdds(of bottoms: [Shape]) throws -> Int {
    try recurrent.multiplyAdds(of: bottoms, shapes(of: bottoms).parameters)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    let input = RecurrentInput(recurrent, binding, gates: recurrent.outputs)
    let marks = binding.bottom(1)
    let top = binding.top(0)
    let run = Run(recurrent, binding, input, marks, top)
    binding.backwardReads(bottoms: input.inputs + [marks], tops: [top])
    return run
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let input: RecurrentInput
    private let marks: Blob
    private let top: Blob
    private let hiddenWeights: Parameter
    private let outputWeights: Parameter
    private let outputBias: Parameter
    /// Of these three.
    private let learns: [Bool]
    private let state: RecurrentState
    private let outputs: Int
    /// T x N x num_output: h, and the marked h of the step before.
    private let hidden: Region
    private let marked: Region
    private let outputGradients: Region
    private let hiddenGradients: Region
    /// N x num_output: what a step passes to the one before; in forward, the state before the first step.
    private let passed: Region

    init(
      _ recurrent: RecurrentFields, _ binding: LayerBinding, _ input: RecurrentInput, _ marks: Blob, _ top: Blob
    ) {
      engine = binding.engine
      self.input = input
      self.marks = marks
      self.top = top
      outputs = recurrent.outputs
      let own = binding.parameters.suffix(3)
      hiddenWeights = own[own.startIndex]
      outputWeights = own[own.startIndex + 1]
      outputBias = own[own.startIndex + 2]
      learns = Array(binding.learns.suffix(3))
      state = RecurrentState(recurrent, binding, index: 0)
      let step = input.streams * outputs * MemoryLayout<Float>.stride
      hidden = binding.workspace(input.steps * step)
      marked = binding.workspace(input.steps * step)
      outputGradients = binding.scratch(input.steps * step)
      hiddenGradients = binding.scratch(input.steps * step)
      passed = binding.scratch(step)
    }

    private func floats(_ region: Region) -> UnsafeMutablePointer<Float> {
      region.pointer.assumingMemoryBound(to: Float.self)
    }

    private func squash(_ count: Int, _ values: UnsafeMutablePointer<Float>) {
      engine.parallel(count, grain: 2048) { from, to in
        for i in from..<to { values[i] = tanhf(values[i]) }
      }
    }

    func forward() {
      let (streams, count) = (input.streams, input.streams * outputs)
      let rows = input.steps * streams
      let h = floats(hidden)
      input.forward(h)
      var previous = floats(passed)
      state.load(into: previous)
      for t in 0..<input.steps {
        let m = floats(marked) + t * count
        multiplyByMarks(marks.values + t * streams, previous, m, streams: streams, width: outputs)
        previous = h + t * count
        engine.multiply(
          MatrixProduct(m: streams, n: outputs, k: outputs, transposeB: true, beta: 1), m, hiddenWeights.values,
          previous)
        squash(count, previous)
      }
      state.store(previous)
      engine.multiply(
        MatrixProduct(m: rows, n: outputs, k: outputs, transposeB: true), h, outputWeights.values, top.values)
      for row in 0..<rows { engine.vectors.axpby(outputs, 1, outputBias.values, 1, top.values + row * outputs) }
      squash(rows * outputs, top.values)
    }

    func backward() {
      let (streams, count) = (input.streams, input.streams * outputs)
      let rows = input.steps * streams
      let d = floats(outputGradients)
      let dh = floats(hiddenGradients)
      let h = floats(hidden)
      if top.hasGradient {
        let (dy, y) = (top.gradients, top.values)
        for i in 0..<(rows * outputs) { d[i] = dy[i] * (1 - y[i] * y[i]) }
      } else {
        d.update(repeating: 0, count: rows * outputs)
      }
      if learns[1] { input.addWeightGradient(outputWeights, d, h, rows: rows) }
      if learns[2] { input.addColumnSums(outputBias, d) }
      engine.multiply(MatrixProduct(m: rows, n: outputs, k: outputs), d, outputWeights.values, dh)
      let back = floats(passed)
      for t in (0..<input.steps).reversed() {
        let step = dh + t * count
        if t < input.steps - 1 { engine.vectors.axpby(count, 1, back, 1, step) }
        for i in 0..<count { step[i] *= 1 - h[t * count + i] * h[t * count + i] }
        engine.multiply(MatrixProduct(m: streams, n: outputs, k: outputs), step, hiddenWeights.values, back)
        multiplyByMarks(marks.values + t * streams, back, back, streams: streams, width: outputs)
      }
      if learns[0] { input.addWeightGradient(hiddenWeights, dh, floats(marked), rows: rows) }
      input.backward(dh)
    }
  }

  package static let examples: [LayerExample] = [
    recurrentExample("sequences", "RNN", [.normal([4, 2, 3])]),
    recurrentExample("with a static input", "RNN", [.normal([3, 2, 3]), .normal([2, 4])]),
  ]
}
