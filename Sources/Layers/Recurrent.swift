import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// What LSTM and RNN have in common: the bottoms and tops, and the part of the weights that works on the input.
///
/// Bottoms: x (T x N x …, T steps of N streams), marks (T x N), optionally a static input (N x …, the same at each
/// step), and with `expose_hidden` the first states (1 x N x num_output each). Tops: the outputs T x N x num_output and
/// with `expose_hidden` the last states.
struct RecurrentFields: Sendable {
  let fields: LayerFields
  let param: RecurrentParameter
  let outputs: Int
  /// States that go from step to step: 2 for LSTM, 1 for RNN.
  let states: Int
  let hasStaticInput: Bool

  init(_ fields: LayerFields, states: Int) throws {
    self.fields = fields
    self.states = states
    param = fields.parameter.recurrentParam
    outputs = Int(param.numOutput)
    guard outputs > 0 else { throw fields.fault("num_output must be at least 1", at: "recurrent_param.num_output") }
    let exposed = param.exposeHidden ? states : 0
    let (bottoms, tops) = (fields.parameter.bottom.count, fields.parameter.top.count)
    guard bottoms == 2 + exposed || bottoms == 3 + exposed, tops == 1 + exposed else {
      throw fields.fault(
        "takes \(2 + exposed) bottoms (\(3 + exposed) with a static input) and \(1 + exposed) tops"
          + (param.exposeHidden ? " with expose_hidden" : "") + ", but \(bottoms) and \(tops) are given",
        at: "bottom[0]")
    }
    hasStaticInput = bottoms == 3 + exposed
  }

  /// For what would change the values and not the tops' shapes.
  var refusal: Diagnostic? {
    fields.refusal(
      param.hasNumLayers && param.numLayers != 1, "recurrent_param.num_layers", "stack layers of this type")
      ?? fields.refusal(param.dropoutRatio > 0, "recurrent_param.dropout_ratio", "put a Dropout layer behind")
  }

  /// The first bottom that is a state.
  var firstState: Int { hasStaticInput ? 3 : 2 }

  /// As in Caffe, no gradient passes through exposed states.
  func takesGradient(bottom index: Int) -> Bool { index == 0 || (index == 2 && hasStaticInput) }

  func check(_ bottoms: [Shape]) throws {
    let x = bottoms[0]
    guard x.rank >= 3 else {
      throw fields.fault(.badShape, "needs an input of steps x streams x …, but it is \(x)", at: "bottom[0]")
    }
    guard bottoms[1] == [x[0], x[1]] else {
      throw fields.fault(
        .badShape, "needs one mark for each of \(x[0]) steps and \(x[1]) streams, but they are \(bottoms[1])",
        at: "bottom[1]")
    }
    if hasStaticInput, bottoms[2].rank < 2 || bottoms[2][0] != x[1] {
      throw fields.fault(
        .badShape, "needs a static input of \(x[1]) streams x …, but it is \(bottoms[2])", at: "bottom[2]")
    }
    for index in firstState..<bottoms.count where bottoms[index] != state(x) {
      throw fields.fault(
        .badShape, "a first state must be \(state(x)), but it is \(bottoms[index])", at: "bottom[\(index)]")
    }
  }

  private func state(_ x: Shape) -> Shape { [1, x[1], outputs] }

  func tops(_ bottoms: [Shape]) -> [Shape] {
    let x = bottoms[0]
    return [[x[0], x[1], outputs]] + fields.parameter.top.dropFirst().map { _ in state(x) }
  }

  /// Every matrix is applied to each stream at each step.
  func multiplyAdds(of bottoms: [Shape], _ parameters: [ParameterDefinition]) -> Int {
    let matrices = parameters.filter { $0.shape.rank == 2 }.map(\.shape.count).reduce(0, +)
    return bottoms[0][0] * bottoms[0][1] * matrices
  }

  /// Input weights `gates` x inputs, their bias, and the weights of the static input.
  func inputParameters(_ bottoms: [Shape], gates: Int) -> [ParameterDefinition] {
    var parameters = [
      weights("input weights", gates, bottoms[0].count(2...)),
      ParameterDefinition(name: "bias", shape: [gates], filler: param.biasFiller),
    ]
    if hasStaticInput { parameters.append(weights("static weights", gates, bottoms[2].count(1...))) }
    return parameters
  }

  func weights(_ name: String, _ rows: Int, _ columns: Int) -> ParameterDefinition {
    ParameterDefinition(name: name, shape: [rows, columns], filler: param.weightFiller)
  }
}

/// pre = x times input weights + bias (+ static input times static weights), for all steps at once; and back.
final class RecurrentInput {
  let engine: any Engine
  let x: Blob
  let steps: Int
  let streams: Int
  private let staticInput: Blob?
  private let gates: Int
  private let weights: Parameter
  private let bias: Parameter
  private let staticWeights: Parameter?
  private let learns: [Bool]
  /// N x gates: the static part, or the sum of its gradients.
  private let staticPart: Region

  init(_ recurrent: RecurrentFields, _ binding: LayerBinding, gates: Int) {
    engine = binding.engine
    x = binding.bottom(0)
    steps = x.shape[0]
    streams = x.shape[1]
    staticInput = recurrent.hasStaticInput ? binding.bottom(2) : nil
    self.gates = gates
    weights = binding.parameters[0]
    bias = binding.parameters[1]
    staticWeights = recurrent.hasStaticInput ? binding.parameters[2] : nil
    learns = binding.learns
    staticPart = binding.scratch(recurrent.hasStaticInput ? x.shape[1] * gates * MemoryLayout<Float>.stride : 0)
  }

  /// What backward reads.
  var inputs: [Blob] { [x, staticInput].compactMap { $0 } }

  private var rows: Int { steps * streams }

  func forward(_ pre: UnsafeMutablePointer<Float>) {
    engine.multiply(
      MatrixProduct(m: rows, n: gates, k: weights.shape[1], transposeB: true), x.values, weights.values, pre)
    var shared: UnsafeMutablePointer<Float>?
    if let staticInput, let staticWeights {
      let part = staticPart.pointer.assumingMemoryBound(to: Float.self)
      engine.multiply(
        MatrixProduct(m: streams, n: gates, k: staticWeights.shape[1], transposeB: true), staticInput.values,
        staticWeights.values, part)
      shared = part
    }
    let b = bias.values
    engine.parallel(rows, grain: max(1, 4096 / max(1, gates))) { [gates, streams] from, to in
      for row in from..<to {
        let y = pre + row * gates
        for i in 0..<gates { y[i] += b[i] }
        guard let part = shared.map({ $0 + row % streams * gates }) else { continue }
        for i in 0..<gates { y[i] += part[i] }
      }
    }
  }

  func backward(_ pre: UnsafePointer<Float>) {
    if learns[0] { addWeightGradient(weights, pre, x.values, rows: rows) }
    if learns[1] { addColumnSums(bias, pre) }
    if x.hasGradient {
      engine.multiply(MatrixProduct(m: rows, n: weights.shape[1], k: gates), pre, weights.values, x.gradients)
    }
    guard let staticInput, let staticWeights else { return }
    let sums = staticPart.pointer.assumingMemoryBound(to: Float.self)
    let count = streams * gates
    for step in 0..<steps { engine.vectors.axpby(count, 1, pre + step * count, step == 0 ? 0 : 1, sums) }
    if learns[2] { addWeightGradient(staticWeights, sums, staticInput.values, rows: streams) }
    if staticInput.hasGradient {
      engine.multiply(
        MatrixProduct(m: streams, n: staticWeights.shape[1], k: gates), sums, staticWeights.values,
        staticInput.gradients)
    }
  }

  /// Adds (rows x outputs) transposed times (rows x inputs) to the gradient of weights outputs x inputs.
  func addWeightGradient(
    _ weights: Parameter, _ outputs: UnsafePointer<Float>, _ inputs: UnsafePointer<Float>, rows: Int
  ) {
    weights.accumulate { sums, isFirst in
      engine.multiply(
        MatrixProduct(
          m: weights.shape[0], n: weights.shape[1], k: rows, transposeA: true, beta: isFirst ? 0 : 1),
        outputs, inputs, sums)
    }
  }

  /// Adds the sum over the rows of `values` to the gradient of a bias.
  func addColumnSums(_ bias: Parameter, _ values: UnsafePointer<Float>) {
    bias.accumulate { sums, isFirst in
      if isFirst { sums.update(repeating: 0, count: bias.count) }
      for row in 0..<rows { engine.vectors.axpby(bias.count, 1, values + row * bias.count, 1, sums) }
    }
  }
}

/// A state before the first step and after the last: bottoms and tops, or what the last pass left (0 at first).
final class RecurrentState {
  private let first: Blob?
  private let last: Blob?
  private let kept: Memory?
  private let count: Int
  private let draws: LayerDraws

  init(_ recurrent: RecurrentFields, _ binding: LayerBinding, index: Int) {
    let isExposed = recurrent.param.exposeHidden
    count = binding.bottomShapes[0][1] * recurrent.outputs
    first = isExposed ? binding.bottom(recurrent.firstState + index) : nil
    last = isExposed ? binding.top(1 + index) : nil
    kept = isExposed ? nil : Memory(byteCount: count * MemoryLayout<Float>.stride)
    draws = binding.draws
  }

  /// A run starts with states of 0.
  func load(into state: UnsafeMutablePointer<Float>) {
    if let first {
      state.update(from: first.values, count: count)
    } else if draws.pass == 0 {
      state.update(repeating: 0, count: count)
    } else if let kept {
      state.update(from: kept.base.assumingMemoryBound(to: Float.self), count: count)
    }
  }

  func store(_ state: UnsafePointer<Float>) {
    (last?.values ?? kept?.base.assumingMemoryBound(to: Float.self))?.update(from: state, count: count)
  }
}

/// Multiplies each stream's row by its mark; a row whose mark is 0 becomes 0 whatever is in it.
func multiplyByMarks(
  _ marks: UnsafePointer<Float>, _ values: UnsafePointer<Float>, _ products: UnsafeMutablePointer<Float>,
  streams: Int, width: Int
) {
  for n in 0..<streams {
    let mark = marks[n]
    for i in (n * width)..<((n + 1) * width) { products[i] = mark == 0 ? 0 : mark * values[i] }
  }
}
