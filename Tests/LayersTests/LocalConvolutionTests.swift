import Layers
import Nets
import Tensors
import Testing

/// With equal weights at every place, a LocalConvolution is a Convolution.
@Suite struct LocalConvolutionTests {
  static let params = [
    "kernel_size: 3", "kernel_size: 3 pad: 1 stride: 2", "kernel_size: 2 stride: 3 bias_term: false",
    "kernel_size: 1 pad: 1",
  ]
  /// Squares of places that share weights: one place, several, and all.
  static let regions = [1, 2, 100]

  private static func sweep(_ type: String, _ field: String, _ param: String, _ engine: String) throws -> SweepNet {
    let sweep = try SweepNet(
      LayerExample(
        type, inputs: [.normal([3, 2, 7, 6])],
        """
        layer { name: "l" type: "\(type)" bottom: "in0" top: "l" \(field) { num_output: 4 \(param)
          weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "gaussian" std: 0.5 } } }
        """), engine: SweepTests.engine(engine))
    try sweep.draw(seed: 11)
    return sweep
  }

  /// Whether all values are the same but for the rounding of sums in another order.
  private static func areNear(_ a: [Float], _ b: [Float]) -> Bool {
    a.count == b.count && zip(a, b).allSatisfy { abs($0 - $1) <= 1e-4 * max(1, abs($0)) }
  }

  @Test(arguments: SweepTests.engines.map(\.name), params)
  func equalWeightsEqualAConvolution(_ engine: String, _ param: String) throws {
    let convolution = try Self.sweep("Convolution", "convolution_param", param, engine)
    let shared = convolution.net.parameterTable.unique.map(\.parameter)
    try convolution.forward()
    try convolution.backward()
    let sharedGradients = convolution.parameterGradients()
    for region in Self.regions {
      let local = try Self.sweep("LocalConvolution", "local_param", "\(param) share_region: \(region)", engine)
      let own = local.net.parameterTable.unique.map(\.parameter)
      #expect(own.count == shared.count)
      // A weight's or bias's values of all regions lie one behind the other.
      let counts = zip(own, shared).map { $0.count / $1.count }
      for (index, parameter) in own.enumerated() {
        for i in 0..<parameter.count { parameter.values[i] = shared[index].values[i / counts[index]] }
        parameter.touch()
      }
      try local.forward()
      try local.backward()
      #expect(try zip(local.outputs(), convolution.outputs()).allSatisfy(Self.areNear), "share_region \(region)")
      #expect(
        try zip(local.inputGradients(), convolution.inputGradients()).allSatisfy(Self.areNear),
        "share_region \(region)")
      // What the regions' weights get adds up to what the shared weight gets.
      for (index, gradients) in local.parameterGradients().enumerated() {
        let count = counts[index]
        let sums = (0..<(gradients.count / count)).map { gradients[($0 * count)..<(($0 + 1) * count)].reduce(0, +) }
        #expect(Self.areNear(sums, sharedGradients[index]), "share_region \(region), parameter \(index)")
      }
      #expect(region == 2 || counts.allSatisfy { ($0 == 1) == (region == 100) })
    }
  }
}
