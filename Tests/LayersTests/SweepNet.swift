import CaffeSchema
import Compute
import Diagnostics
import Layers
import Nets
import Tensors

/// A net around a layer's example: inputs in0, in1, … and the layer, with gradients down to the inputs. Of an example
/// with several layers, the last is the one that it shows.
///
/// The objective is the sum of the losses and of every other output times fixed random factors.
final class SweepNet {
  /// Layers before and behind the example, so that nothing of it is an input or output of the net, and memory can be
  /// reused.
  enum Surroundings {
    case none
    /// Every blob keeps memory of its own.
    case keepingAll
    /// The planner shares memory, and a top of the shape of the first bottom takes its name.
    case inPlace
  }

  let net: Net
  private let example: LayerExample
  private var factors: [String: [Float]] = [:]

  init(
    _ example: LayerExample, engine: any Engine, surrounded: Surroundings = .none, lossTop: Int? = nil
  ) throws {
    self.example = example
    let text = try SweepNet.prototxt(example, surrounded: surrounded, lossTop: lossTop)
    var options = NetOptions(phase: example.phase)
    options.keepsEverything = surrounded != .inPlace
    options.graph = GraphOptions(forceBackward: true, seedsOutputs: lossTop == nil, learns: true)
    options.seed = 7
    let source = try NetSource(text: text, file: "\(example.name).prototxt")
    net = try Net(source, engine: engine, catalogue: LayerCatalogue(layerTypes), options: options)
  }

  static func topCount(_ example: LayerExample) -> Int {
    (try? layers(example).last?.top.count) ?? 1
  }

  private static func layers(_ example: LayerExample) throws -> [LayerParameter] {
    try NetSource(text: example.prototxt, file: "example").parameter.layer
  }

  static func prototxt(
    _ example: LayerExample, surrounded: Surroundings = .none, lossTop: Int? = nil
  ) throws -> String {
    var layers = try layers(example)
    var net = NetParameter()
    for (index, input) in example.inputs.enumerated() {
      var layer = LayerParameter()
      (layer.name, layer.type, layer.top) = ("input \(index)", "Input", ["in\(index)"])
      var shape = BlobShape()
      shape.dim = input.shape.dims.map(Int64.init)
      layer.inputParam.shape = [shape]
      net.layer.append(layer)
    }
    let last = layers.count - 1
    if let lossTop { layers[last].lossWeight = layers[last].top.indices.map { $0 == lossTop ? 1 : 0 } }
    guard surrounded != .none else {
      net.layer += layers
      return net.textFormatString()
    }
    for (index, input) in example.inputs.enumerated() {
      guard case .labels = input else {
        net.layer.append(scale("before \(index)", "in\(index)", "b\(index)"))
        for at in layers.indices {
          layers[at].bottom = layers[at].bottom.map { $0 == "in\(index)" ? "b\(index)" : $0 }
          layers[at].top = layers[at].top.map { $0 == "in\(index)" ? "b\(index)" : $0 }
        }
        continue
      }
    }
    rename(&layers[last], inPlace: surrounded == .inPlace)
    net.layer += layers
    for (index, top) in layers[last].top.enumerated() {
      var layer = LayerParameter()
      (layer.name, layer.type, layer.bottom, layer.top) = ("behind \(index)", "Power", [top], ["out \(index)"])
      (layer.powerParam.scale, layer.powerParam.shift) = (-0.7, 0.2)
      net.layer.append(layer)
    }
    return net.textFormatString()
  }

  /// Gives the first top the first bottom's name, or takes it away.
  private static func rename(_ layer: inout LayerParameter, inPlace: Bool) {
    guard let bottom = layer.bottom.first, let top = layer.top.first else { return }
    if inPlace, layer.type != "Split" {
      layer.top[0] = bottom
    } else if top == bottom {
      layer.top[0] = "apart"
    }
  }

  /// A factor and an addend for each value.
  private static func scale(_ name: String, _ bottom: String, _ top: String) -> LayerParameter {
    var layer = LayerParameter()
    (layer.name, layer.type, layer.bottom, layer.top) = (name, "Scale", [bottom], [top])
    layer.scaleParam.axis = 0
    layer.scaleParam.numAxes = -1
    layer.scaleParam.biasTerm = true
    layer.scaleParam.filler.value = 1
    return layer
  }

  // MARK: Values

  private var inputs: [Blob] { example.inputs.indices.compactMap { net.versions(of: "in\($0)").first } }

  /// Draws the inputs as the example says, and the objective's factors.
  func draw(seed: UInt64) throws {
    for (index, (input, blob)) in zip(example.inputs, inputs).enumerated() {
      input.fill(blob.values, RandomStream(seed: seed, UInt64(index)))
    }
    for (index, output) in net.outputs.enumerated() {
      let stream = RandomStream(seed: seed, 1000 + UInt64(index))
      factors[output.name] = (0..<output.count).map { Float(stream.normal($0)) }
    }
  }

  /// Puts `bad` into some values of the inputs and parameters, or into all.
  func spoil(with bad: Float, everywhere: Bool) {
    for blob in inputs { for i in 0..<blob.count where everywhere || i % 3 == 1 { blob.values[i] = bad } }
    for entry in net.parameterTable.unique where everywhere {
      for i in 0..<entry.parameter.count { entry.parameter.values[i] = bad }
      entry.parameter.touch()
    }
  }

  /// Puts values into an input, where `value` gives one.
  func fillInput(_ index: Int, _ value: (Int) -> Float?) {
    for i in 0..<inputs[index].count { inputs[index].values[i] = value(i) ?? inputs[index].values[i] }
  }

  /// Copies the first row of an input over another one.
  func repeatFirstRow(ofInput index: Int, in row: Int) {
    let width = inputs[index].count / max(1, inputs[index].shape.extent(0))
    guard row > 0 else { return }
    (inputs[index].values + row * width).update(from: inputs[index].values, count: width)
  }

  /// Of the layer that the example shows, its last, which is a loss or metric.
  var labelledCount: Int? {
    (net.run(ofLayer: net.graph.nodes.count - 1) as? any LossRun)?.labelledCount
  }

  func firstTop() throws -> [Float] {
    try net.values(of: net.blob(ofValue: net.graph.nodes[net.graph.nodes.count - 1].tops[0]))
  }

  /// The same pass each time: layers draw the same numbers, and states start anew.
  func forward() throws {
    net.clock.pass = 0
    try net.forward()
  }

  func backward() throws {
    let losses = Set(net.losses.map(\.blob.name))
    for output in net.outputs where output.hasGradient && !losses.contains(output.name) {
      if let factors = factors[output.name] { try net.feed(gradient: factors, of: output) }
    }
    net.clearGradients()
    try net.backward()
  }

  func outputs() throws -> [[Float]] { try net.outputs.map { try net.values(of: $0) } }

  func inputGradients() throws -> [[Float]] { try inputs.filter(\.hasGradient).map { try net.gradients(of: $0) } }

  func parameterGradients() -> [[Float]] {
    net.parameterTable.unique.map { entry in
      Array(UnsafeBufferPointer(start: entry.parameter.settledGradients(), count: entry.parameter.count))
    }
  }

  private func objective() throws -> Double {
    var sum = 0.0
    for (term, blob) in net.losses {
      for i in 0..<blob.liveCount { sum += Double(term.weight) * Double(blob.values[i]) }
    }
    let losses = Set(net.losses.map(\.blob.name))
    for output in net.outputs where output.hasGradient && !losses.contains(output.name) {
      for (value, factor) in zip(try net.values(of: output), factors[output.name] ?? []) {
        sum += Double(value) * Double(factor)
      }
    }
    return sum
  }

  // MARK: Gradients by differences

  struct Comparison {
    /// Over what is allowed.
    var error = 0.0
    var place = ""
    var analytic: Float = 0
    var numeric = 0.0
  }

  /// How far the analytic gradients are from central differences, at up to 40 values of each input and parameter.
  func worstGradient() throws -> Comparison {
    try forward()
    try backward()
    var worst = Comparison()
    for (input, blob) in zip(example.inputs, inputs) where blob.hasGradient {
      // Labels are whole numbers: a small step away from one means nothing.
      if case .labels = input { continue }
      try compare(blob.values, try net.gradients(of: blob), blob.name, {}, &worst)
    }
    for (entry, gradients) in zip(net.parameterTable.unique, parameterGradients()) {
      let node = net.graph.nodes[entry.layer]
      guard net.graph.learns(parameter: entry.index, of: node) else { continue }
      try compare(entry.parameter.values, gradients, entry.name, entry.parameter.touch, &worst)
    }
    return worst
  }

  private func compare(
    _ values: UnsafeMutablePointer<Float>, _ gradients: [Float], _ name: String, _ touch: () -> Void,
    _ worst: inout Comparison
  ) throws {
    let step: Float = 1e-2
    for index in stride(from: 0, to: gradients.count, by: max(1, gradients.count / 40)) {
      let value = values[index]
      func objective(at moved: Float) throws -> Double {
        values[index] = moved
        touch()
        try forward()
        return try self.objective()
      }
      let (high, low) = (value + step, value - step)
      let difference = try objective(at: high) - objective(at: low)
      values[index] = value
      touch()
      let numeric = difference / Double(high - low)
      let analytic = Double(gradients[index])
      let error = abs(numeric - analytic) / (1e-2 * max(1, abs(numeric), abs(analytic)))
      if error > worst.error || error.isNaN {
        worst = Comparison(
          error: error.isNaN ? .infinity : error, place: "\(name)[\(index)]", analytic: gradients[index],
          numeric: numeric)
      }
    }
  }
}

extension LayerExample.Input {
  func fill(_ values: UnsafeMutablePointer<Float>, _ stream: RandomStream) {
    let count = shape.count
    switch self {
    case .normal:
      for i in 0..<count { values[i] = Float(stream.normal(i)) }
    case .normalAway(_, let from):
      for i in 0..<count {
        let offset = Float(stream.normal(i))
        values[i] = from + (offset < 0 ? min(offset, -0.1) : max(offset, 0.1))
      }
    case .uniform(_, let range):
      for i in 0..<count {
        values[i] = range.lowerBound + (range.upperBound - range.lowerBound) * stream.uniform(i)
      }
    case .labels(_, let classes):
      for i in 0..<count { values[i] = Float(stream.integer(i, below: classes)) }
    case .distinct:
      // Off the multiples of 0.1, where functions have their kinks.
      for (i, rank) in stream.permutation(count).enumerated() {
        values[i] = 0.1 * (Float(rank) - Float(count / 2)) + 0.034
      }
    }
  }
}
