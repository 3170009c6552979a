import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// A long short-term memory over T steps of N streams (the form of Donahue et al., CVPR 2015); `LSTMUnit` says what a
/// step computes.
///
/// Bottoms: x (T x N x …), marks (T x N: 0 where a sequence starts, 1 within it), optionally a static input (N x …), and
/// with `expose_hidden` the states h and c before the first step (1 x N x num_output). Tops: h at all steps (T x N x
/// num_output), with `expose_hidden` also the last h and c. The gates' inputs are x_t W_x + b + mark_t h_(t-1) W_h (+
/// static W_s). Parameters: W_x (4 num_output x inputs), b, W_s if there is a static input, W_h (4 num_output x
/// num_output). Without `expose_hidden` the state goes on from one pass to the next, until a mark is 0; a run starts
/// with 0. As in Caffe, gradients do not reach over the pass, nor through exposed states.
package struct LSTM: RefusedLayer {
  package static let type = "LSTM"
  package static let parameterFields: [String]? = ["recurrent_param"]
  package static let bottomCount = 2...5
  package static let topCount = 1...3

  private let recurrent: RecurrentFields

  package init(_ fields: LayerFields) throws { recurrent = try RecurrentFields(fields, states: 2) }

  package func takesGradient(bottom index: Int) -> Bool { recurrent.takesGradient(bottom: index) }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    try recurrent.check(bottoms)
    let gates = 4 * recurrent.outputs
    return LayerShapes(
      tops: recurrent.tops(bottoms),
      parameters: recurrent.inputParameters(bottoms, gates: gates)
        + [recurrent.weights("hidden weights", gates, recurrent.outputs)])
  }

  package var refusal: Diagnostic? { recurrent.refusal }

  package func multiplyAdds(of bottoms: [Shape]) throws -> Int {
    try recurrent.multiplyAdds(of: bottoms, shapes(of: bottoms).parameters)
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    let input = RecurrentInput(recurrent, binding, gates: 4 * recurrent.outputs)
    let marks = binding.bottom(1)
    let run = Run(recurrent, binding, input, marks, binding.top(0))
    binding.backwardReads(bottoms: input.inputs + [marks])
    return run
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let input: RecurrentInput
    private let marks: Blob
    private let top: Blob
    private let weights: Parameter
    private let learns: Bool
    private let cell: LSTMCell
    private let states: [RecurrentState]
    private let outputs: Int
    /// T x N x 4 num_output.
    private let gates: Region
    /// (T + 1) x N x num_output: the cells, that before the first step first.
    private let cells: Region
    /// T x N x num_output: tanh of the cells, and the marked output of the step before.
    private let squashed: Region
    private let marked: Region
    private let gateGradients: Region
    /// N x num_output each: the gradients of a step's output and cell; in forward, the output before the first step.
    private let outputGradient: Region
    private let cellGradient: Region

    init(
      _ recurrent: RecurrentFields, _ binding: LayerBinding, _ input: RecurrentInput, _ marks: Blob, _ top: Blob
    ) {
      engine = binding.engine
      self.input = input
      self.marks = marks
      self.top = top
      outputs = recurrent.outputs
      weights = binding.parameters[binding.parameters.count - 1]
      learns = binding.learns[binding.learns.count - 1]
      cell = LSTMCell(engine: engine, streams: input.streams, outputs: outputs)
      states = (0..<2).map { RecurrentState(recurrent, binding, index: $0) }
      let step = input.streams * outputs * MemoryLayout<Float>.stride
      gates = binding.workspace(4 * input.steps * step)
      cells = binding.workspace((input.steps + 1) * step)
      squashed = binding.workspace(input.steps * step)
      marked = binding.workspace(input.steps * step)
      gateGradients = binding.scratch(4 * input.steps * step)
      outputGradient = binding.scratch(step)
      cellGradient = binding.scratch(step)
    }

    private func floats(_ region: Region) -> UnsafeMutablePointer<Float> {
      region.pointer.assumingMemoryBound(to: Float.self)
    }

    func forward() {
      let (streams, count) = (input.streams, input.streams * outputs)
      let g = floats(gates)
      let c = floats(cells)
      input.forward(g)
      var previous = floats(outputGradient)
      states[0].load(into: previous)
      states[1].load(into: c)
      for t in 0..<input.steps {
        let mark = marks.values + t * streams
        let m = floats(marked) + t * count
        multiplyByMarks(mark, previous, m, streams: streams, width: outputs)
        engine.multiply(
          MatrixProduct(m: streams, n: 4 * outputs, k: outputs, transposeB: true, beta: 1), m, weights.values,
          g + 4 * t * count)
        cell.forward(
          previous: c + t * count, gates: g + 4 * t * count, marks: mark, cell: c + (t + 1) * count,
          squashed: floats(squashed) + t * count, output: top.values + t * count)
        previous = top.values + t * count
      }
      states[0].store(previous)
      states[1].store(c + input.steps * count)
    }

    func backward() {
      let (streams, count) = (input.streams, input.streams * outputs)
      let dg = floats(gateGradients)
      let dh = floats(outputGradient)
      let dc = floats(cellGradient)
      dh.update(repeating: 0, count: count)
      dc.update(repeating: 0, count: count)
      for t in (0..<input.steps).reversed() {
        if top.hasGradient { engine.vectors.axpby(count, 1, top.gradients + t * count, 1, dh) }
        cell.backward(
          previous: floats(cells) + t * count, gates: floats(gates) + 4 * t * count,
          squashed: floats(squashed) + t * count, outputGradient: dh, cellGradient: dc,
          gateGradient: dg + 4 * t * count)
        engine.multiply(
          MatrixProduct(m: streams, n: outputs, k: 4 * outputs), dg + 4 * t * count, weights.values, dh)
        multiplyByMarks(marks.values + t * streams, dh, dh, streams: streams, width: outputs)
      }
      if learns { input.addWeightGradient(weights, dg, floats(marked), rows: input.steps * streams) }
      input.backward(dg)
    }
  }

  package static let examples: [LayerExample] = [
    recurrentExample("sequences", "LSTM", [.normal([4, 2, 3])]),
    recurrentExample("with a static input", "LSTM", [.normal([3, 2, 3]), .normal([2, 4])]),
    LayerExample(
      "exposed states",
      inputs: [.normal([3, 2, 3]), .labels([3, 2], classes: 2), .normal([1, 2, 4]), .normal([1, 2, 4])],
      """
      layer { name: "l" type: "LSTM" bottom: "in0" bottom: "in1" bottom: "in2" bottom: "in3" top: "l" top: "h" top: "c"
        recurrent_param { num_output: 4 expose_hidden: true weight_filler { type: "gaussian" std: 0.5 } } }
      """, checksGradient: false),
  ]
}

/// Inputs, marks between the first and the others, and a layer of 4 outputs with weights that matter.
func recurrentExample(_ name: String, _ type: String, _ inputs: [LayerExample.Input]) -> LayerExample {
  let x = inputs[0]
  let all = [x, .labels([x.shape[0], x.shape[1]], classes: 2)] + inputs.dropFirst()
  let bottoms = all.indices.map { #"bottom: "in\#($0)""# }.joined(separator: " ")
  return LayerExample(
    name, inputs: all,
    """
    layer { name: "l" type: "\(type)" \(bottoms) top: "l" recurrent_param { num_output: 4
      weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 } } }
    """)
}
