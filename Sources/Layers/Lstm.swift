import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// A long short-term memory in the form of Junhyuk Oh's fork of Caffe, which came before the layer LSTM; `LSTMUnit` says
/// what a step computes.
///
/// Bottoms: x, T x N x …, or (T N) x … with N given by `batch_size` (1); optionally marks T N (0 where a sequence starts,
/// 1 within it). Top T x N x num_output, or (T N) x num_output. Parameters: input weights (4 num_output x inputs), hidden
/// weights (4 num_output x num_output), bias. Without marks, sequences start in each pass; with them, the state goes on
/// from one pass to the next. `clipping_threshold` bounds the gradients of the gates' inputs at each step. With
/// `recurrent_param`, as MyCaffe writes it, this is the layer LSTM.
package struct Lstm: RefusedLayer {
  package static let type = "Lstm"
  package static let parameterFields: [String]? = ["lstm_param", "recurrent_param"]
  package static let bottomCount = 1...5
  package static let topCount = 1...3

  private let fields: LayerFields
  private let param: LSTMParameter
  private let modern: LSTM?

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.lstmParam
    modern = fields.parameter.hasRecurrentParam ? try LSTM(fields) : nil
    guard modern == nil else {
      try fields.refuse(fields.parameter.hasLstmParam, "lstm_param", "recurrent_param is given as well")
      return
    }
    guard fields.parameter.bottom.count <= 2, fields.parameter.top.count == 1 else {
      throw fields.fault("takes an input and, optionally, marks, and has one top", at: "bottom[0]")
    }
    guard param.numOutput > 0 else { throw fields.fault("num_output must be at least 1", at: "lstm_param.num_output") }
    guard param.batchSize > 0 else { throw fields.fault("batch_size must be at least 1", at: "lstm_param.batch_size") }
    guard param.clippingThreshold >= 0 else {
      throw fields.fault("clipping_threshold must not be below 0", at: "lstm_param.clipping_threshold")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool {
    modern.map { $0.takesGradient(bottom: index) } ?? (index == 0)
  }

  private func hasStreamAxis(_ x: Shape) -> Bool { x.rank == 3 && !param.hasBatchSize }

  private func streams(_ x: Shape) -> Int { hasStreamAxis(x) ? x[1] : Int(param.batchSize) }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    if let modern { return try modern.shapes(of: bottoms) }
    let x = bottoms[0]
    let outputs = Int(param.numOutput)
    guard x.rank >= 2, hasStreamAxis(x) || x[0] % Int(param.batchSize) == 0 else {
      throw fields.fault(
        .badShape,
        "needs an input of steps x streams x …, or a multiple of batch_size \(param.batchSize) rows, but it is \(x)"
      )
    }
    let rows = hasStreamAxis(x) ? x[0] * x[1] : x[0]
    if bottoms.count > 1, bottoms[1].count != rows {
      throw fields.fault(
        .badShape, "needs \(rows) marks, one for each row, but they are \(bottoms[1])", at: "bottom[1]")
    }
    return LayerShapes(
      tops: [hasStreamAxis(x) ? [x[0], x[1], outputs] : [rows, outputs]],
      parameters: [
        .init(
          name: "input weights", shape: [4 * outputs, x.count((hasStreamAxis(x) ? 2 : 1)...)],
          filler: param.weightFiller),
        .init(name: "hidden weights", shape: [4 * outputs, outputs], filler: param.weightFiller),
        .init(name: "bias", shape: [4 * outputs], filler: param.biasFiller),
      ])
  }

  package var refusal: Diagnostic? { modern?.refusal }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let modern { return try modern.bind(binding) }
    let bottoms = binding.bottomShapes.indices.map { binding.bottom($0) }
    binding.backwardReads(bottoms: bottoms)
    return Run(binding, param, bottoms, binding.top(0), streams: streams(binding.bottomShapes[0]))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let draws: LayerDraws
    private let x: Blob
    private let marks: Blob?
    private let top: Blob
    private let parameters: [Parameter]
    private let learns: [Bool]
    private let cell: LSTMCell
    private let threshold: Float
    private let streams: Int
    private let steps: Int
    private let outputs: Int
    /// T x N x 4 num_output: the gates, and the gradients of their inputs.
    private let gates: Region
    private let gateGradients: Region
    /// (T + 1) x N x num_output: the cells, that before the first step first; T x N x num_output: their tanh, and the
    /// marked output of the step before.
    private let cells: Region
    private let squashed: Region
    private let marked: Region
    /// N x num_output each: gradients of a step's output and cell; in forward, the output before the first step.
    private let step: Region
    /// A mark for each row where none are given.
    private let ownMarks: [Float]
    /// The last output and cell, N x num_output each.
    private let kept: Memory

    init(_ binding: LayerBinding, _ param: LSTMParameter, _ bottoms: [Blob], _ top: Blob, streams: Int) {
      engine = binding.engine
      draws = binding.draws
      x = bottoms[0]
      marks = bottoms.count > 1 ? bottoms[1] : nil
      self.top = top
      parameters = binding.parameters
      learns = binding.learns
      self.streams = streams
      outputs = Int(param.numOutput)
      steps = streams == 0 ? 0 : top.count / outputs / streams
      cell = LSTMCell(engine: engine, streams: streams, outputs: outputs)
      threshold = param.clippingThreshold
      let bytes = streams * outputs * MemoryLayout<Float>.stride
      gates = binding.workspace(4 * steps * bytes)
      cells = binding.workspace((steps + 1) * bytes)
      squashed = binding.workspace(steps * bytes)
      marked = binding.workspace(steps * bytes)
      gateGradients = binding.scratch(4 * steps * bytes)
      step = binding.scratch(2 * bytes)
      ownMarks = (0..<(steps * streams)).map { $0 < streams ? 0 : 1 }
      kept = Memory(byteCount: 2 * bytes)
    }

    private func floats(_ region: Region) -> UnsafeMutablePointer<Float> {
      region.pointer.assumingMemoryBound(to: Float.self)
    }

    private func withMarks(_ body: (UnsafePointer<Float>) -> Void) {
      if let marks { return body(marks.values) }
      ownMarks.withUnsafeBufferPointer { if let base = $0.baseAddress { body(base) } }
    }

    func forward() {
      withMarks { marks in
        let (count, rows) = (streams * outputs, steps * streams)
        let (g, c) = (floats(gates), floats(cells))
        engine.multiply(
          MatrixProduct(m: rows, n: 4 * outputs, k: parameters[0].shape[1], transposeB: true), x.values,
          parameters[0].values, g)
        let bias = parameters[2].values
        for row in 0..<rows { for i in 0..<(4 * outputs) { g[row * 4 * outputs + i] += bias[i] } }
        let last = kept.base.assumingMemoryBound(to: Float.self)
        if draws.pass == 0 { last.update(repeating: 0, count: 2 * count) }
        var previous = floats(step)
        previous.update(from: last, count: count)
        c.update(from: last + count, count: count)
        for t in 0..<steps {
          let m = floats(marked) + t * count
          multiplyByMarks(marks + t * streams, previous, m, streams: streams, width: outputs)
          engine.multiply(
            MatrixProduct(m: streams, n: 4 * outputs, k: outputs, transposeB: true, beta: 1), m, parameters[1].values,
            g + 4 * t * count)
          cell.forward(
            previous: c + t * count, gates: g + 4 * t * count, marks: marks + t * streams, cell: c + (t + 1) * count,
            squashed: floats(squashed) + t * count, output: top.values + t * count)
          previous = top.values + t * count
        }
        last.update(from: previous, count: count)
        (last + count).update(from: c + steps * count, count: count)
      }
    }

    func backward() {
      withMarks { marks in
        let count = streams * outputs
        let dg = floats(gateGradients)
        let (dh, dc) = (floats(step), floats(step) + count)
        dh.update(repeating: 0, count: 2 * count)
        for t in (0..<steps).reversed() {
          let dgStep = dg + 4 * t * count
          engine.vectors.axpby(count, 1, top.gradients + t * count, 1, dh)
          cell.backward(
            previous: floats(cells) + t * count, gates: floats(gates) + 4 * t * count,
            squashed: floats(squashed) + t * count, outputGradient: dh, cellGradient: dc, gateGradient: dgStep)
          if threshold > 0 {
            for i in 0..<(4 * count) { dgStep[i] = max(-threshold, min(threshold, dgStep[i])) }
          }
          engine.multiply(
            MatrixProduct(m: streams, n: outputs, k: 4 * outputs), dgStep, parameters[1].values, dh)
          multiplyByMarks(marks + t * streams, dh, dh, streams: streams, width: outputs)
        }
        addParameterGradients(dg)
        guard x.hasGradient else { return }
        engine.multiply(
          MatrixProduct(m: steps * streams, n: parameters[0].shape[1], k: 4 * outputs), dg, parameters[0].values,
          x.gradients)
      }
    }

    private func addParameterGradients(_ dg: UnsafeMutablePointer<Float>) {
      let rows = steps * streams
      for (index, inputs) in [x.values, floats(marked)].enumerated() where learns[index] {
        parameters[index].accumulate { sums, isFirst in
          engine.multiply(
            MatrixProduct(
              m: 4 * outputs, n: parameters[index].shape[1], k: rows, transposeA: true, beta: isFirst ? 0 : 1), dg,
            inputs, sums)
        }
      }
      guard learns[2] else { return }
      parameters[2].accumulate { sums, isFirst in
        if isFirst { sums.update(repeating: 0, count: 4 * outputs) }
        for row in 0..<rows { for i in 0..<(4 * outputs) { sums[i] += dg[row * 4 * outputs + i] } }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("steps and streams", [.normal([4, 2, 3])], ""),
    example("rows of one stream", [.normal([6, 3])], "batch_size: 1"),
    example("with marks", [.normal([6, 3]), .labels([6], classes: 2)], "batch_size: 1"),
    recurrentExample("in today's form", "Lstm", [.normal([4, 2, 3])]),
    example("bounded gradients", [.normal([4, 2, 3])], "clipping_threshold: 0.1", checksGradient: false),
  ]

  private static func example(
    _ name: String, _ inputs: [LayerExample.Input], _ param: String, checksGradient: Bool = true
  ) -> LayerExample {
    let bottoms = inputs.indices.map { #"bottom: "in\#($0)""# }.joined(separator: " ")
    return LayerExample(
      name, inputs: inputs,
      """
      layer { name: "l" type: "Lstm" \(bottoms) top: "l" lstm_param { num_output: 4 \(param)
        weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 } } }
      """, checksGradient: checksGradient)
  }
}
