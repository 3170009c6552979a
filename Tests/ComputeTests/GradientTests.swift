import Compute
import ComputeCases
import ComputeReference
import Tensors
import Testing

/// The reference engine's backward passes against differences of its forward pass.
///
/// The objective is the sum of top * top gradient, added in double precision; its slope along a direction is
/// (objective(x + h direction) - objective(x - h direction)) / 2h.
@Suite struct GradientTests {
  static let cases = OpCase.small.filter { opCase in
    // Normalised values lie as near to a rectifier's corner as they like.
    if case .batchNorm(let description) = opCase.operation, description.rectifies { return false }
    return ![.sum, .product].contains(opCase.kind)
  }

  @Test(arguments: cases)
  func slopesAreThoseOfDifferences(_ opCase: OpCase) throws {
    let run = try OpRun(opCase, on: ReferenceEngine())
    let inputs = opCase.inputs()
    run.load(inputs)
    for pass in run.passes { run.run(pass) }
    var checked: [(input: WritableKeyPath<OpInputs, [Float]>, gradient: OpRun.Result)] = []
    if run.passes.contains(.backwardData) {
      for (index, result) in run.results(of: .backwardData).enumerated() { checked.append((\.bottoms[index], result)) }
    }
    if run.passes.contains(.backwardParameters) {
      let parameters: [WritableKeyPath<OpInputs, [Float]>] = [\.weights, \.bias]
      checked += zip(parameters, run.results(of: .backwardParameters)).map { ($0, $1) }
    }
    // An op without a backward pass has been asked for none.
    for (input, gradient) in checked {
      checkDirections(run, inputs, input, gradient)
      checkElements(run, inputs, input, gradient)
    }
  }

  /// All elements moved at once, up or down at random: the slope is about as large as the gradient's norm.
  private func checkDirections(
    _ run: OpRun, _ inputs: OpInputs, _ input: WritableKeyPath<OpInputs, [Float]>, _ gradient: OpRun.Result
  ) {
    let norm = gradient.values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    for attempt in 0..<3 {
      let stream = RandomStream(seed: 2, RandomStream.part(run.opCase.name), UInt64(attempt))
      let direction = gradient.values.indices.map { Float(2 * stream.integer($0, below: 2) - 1) }
      let expected = zip(gradient.values, direction).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      let slope = slope(run, inputs, input, direction)
      #expect(
        abs(slope - expected) <= 1e-2 * norm,
        "\(gradient.name), direction \(attempt): \(expected), by differences \(slope), norm \(norm)")
    }
  }

  /// A dozen elements, one at a time, against the largest of the gradient.
  private func checkElements(
    _ run: OpRun, _ inputs: OpInputs, _ input: WritableKeyPath<OpInputs, [Float]>, _ gradient: OpRun.Result
  ) {
    let largest = gradient.values.map(abs).max() ?? 0
    for element in RandomStream(seed: 3).permutation(gradient.values.count).prefix(12) {
      var direction = [Float](repeating: 0, count: gradient.values.count)
      direction[element] = 1
      let slope = slope(run, inputs, input, direction)
      #expect(
        abs(slope - Double(gradient.values[element])) <= 1e-2 * Double(largest),
        "\(gradient.name), element \(element): \(gradient.values[element]), by differences \(slope)")
    }
  }

  private func slope(
    _ run: OpRun, _ inputs: OpInputs, _ input: WritableKeyPath<OpInputs, [Float]>, _ direction: [Float]
  ) -> Double {
    // Small beside 0.02 and 0.1, by which the inputs of a maximum and of a rectifier keep away from their corners.
    let step: Float = 4e-3
    let objectives = [step, -step].map { step in
      var moved = inputs
      for (index, change) in direction.enumerated() { moved[keyPath: input][index] += step * change }
      run.load(moved)
      run.run(.forward)
      return zip(run.results(of: .forward)[0].values, inputs.topGradient).reduce(0) {
        $0 + Double($1.0) * Double($1.1)
      }
    }
    return (objectives[0] - objectives[1]) / Double(2 * step)
  }
}
