import CaffeSchema
import Compute
import ComputeCPU
import ComputeReference
import Foundation
import Layers
import Nets
import Testing

/// Layers that do the work of those behind them against the same layers one by one.
@Suite struct FusionTests {
  /// What a chain is made of, and how many steps its layers become.
  struct Chain: Sendable, CustomTestStringConvertible {
    let name: String
    let layers: String
    let steps: Int
    var phase = Phase.train

    var testDescription: String { name }
  }

  private static let convolution = """
    layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param { num_output: 32
      kernel_size: 3 pad: 1 bias_term: false weight_filler { type: "xavier" } } }
    """
  private static let scale = """
    layer { name: "scale" type: "Scale" bottom: "bn" top: "scale" scale_param { bias_term: true
      filler { type: "uniform" min: 0.5 max: 2 } bias_filler { type: "gaussian" std: 1 } } }
    """

  static let chains = [
    Chain(
      name: "BatchNorm, Scale, ReLU",
      layers: convolution + #"layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }"# + scale
        + #"layer { name: "relu" type: "ReLU" bottom: "scale" top: "scale" }"#, steps: 3),
    Chain(
      name: "BatchNorm, Scale",
      layers: convolution + #"layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }"# + scale, steps: 3),
    Chain(
      name: "BatchNorm, ReLU",
      layers: convolution + """
        layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
        layer { name: "relu" type: "ReLU" bottom: "bn" top: "relu" }
        """, steps: 3),
    Chain(
      name: "Scale, ReLU",
      layers: #"layer { name: "bn" type: "Power" bottom: "data" top: "bn" power_param { scale: 2 } }"# + scale
        + #"layer { name: "relu" type: "ReLU" bottom: "scale" top: "relu" }"#, steps: 3),
    Chain(
      name: "BN, ReLU",
      layers: convolution + """
        layer { name: "bn" type: "BN" bottom: "conv" top: "bn" }
        layer { name: "relu" type: "ReLU" bottom: "bn" top: "relu" }
        """, steps: 3),
    Chain(
      name: "Eltwise, ReLU",
      layers: convolution + """
        layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "data" top: "sum" }
        layer { name: "relu" type: "ReLU" bottom: "sum" top: "sum" }
        """, steps: 3),
    Chain(
      name: "a ReLU that another layer reads past",
      layers: convolution + """
        layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
        layer { name: "relu" type: "ReLU" bottom: "bn" top: "relu" }
        layer { name: "sum" type: "Eltwise" bottom: "bn" bottom: "relu" top: "sum" }
        """, steps: 5),
    Chain(
      name: "Convolution, BatchNorm, Scale in TEST",
      layers: convolution + #"layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }"# + scale
        + #"layer { name: "relu" type: "ReLU" bottom: "scale" top: "scale" }"#, steps: 2, phase: .test),
    Chain(
      name: "Convolution, ReLU",
      layers: convolution + #"layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }"#, steps: 2),
    // The gradient of a sum goes to all of its bottoms as it is; one that changes it must not change it for the others.
    Chain(
      name: "a sum of rectified convolutions",
      layers: convolution + #"layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }"#
        + convolution.replacingOccurrences(of: "conv\"", with: "other\"")
          + """
          layer { name: "relu2" type: "ReLU" bottom: "other" top: "other2" }
          layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "other2" bottom: "data" top: "sum" }
          """, steps: 4),
    Chain(
      name: "a rectified convolution with two readers",
      layers: convolution + """
        layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
        layer { name: "power" type: "Power" bottom: "conv" top: "power" power_param { scale: 2 } }
        layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "power" top: "sum" }
        """, steps: 4),
    Chain(
      name: "a residual block in TEST",
      layers: convolution + #"layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }"# + scale + """
        layer { name: "sum" type: "Eltwise" bottom: "data" bottom: "scale" top: "sum" }
        layer { name: "relu" type: "ReLU" bottom: "sum" top: "sum" }
        layer { name: "next" type: "Convolution" bottom: "sum" top: "next" convolution_param { num_output: 32
          kernel_size: 1 weight_filler { type: "xavier" } } }
        layer { name: "sum2" type: "Eltwise" bottom: "next" bottom: "sum" top: "sum2" }
        """, steps: 3, phase: .test),
    Chain(
      name: "a residual block with a convolution in both branches in TEST",
      layers: convolution + convolution.replacingOccurrences(of: "conv\"", with: "other\"")
        + #"layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "other" top: "sum" }"#, steps: 3, phase: .test),
    Chain(
      name: "a sum whose other bottom comes later in TEST",
      layers: convolution + """
        layer { name: "power" type: "Power" bottom: "data" top: "power" power_param { scale: 2 } }
        layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "power" top: "sum" }
        """, steps: 4, phase: .test),
    Chain(
      name: "a difference in TEST",
      layers: convolution + """
        layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "data" top: "sum" eltwise_param { coeff: 1 coeff: -1 } }
        """, steps: 3, phase: .test),
    Chain(
      name: "heads of several tasks",
      layers: (0..<3).map { head in
        """
        layer { name: "head\(head)" type: "InnerProduct" bottom: "data" top: "head\(head)" inner_product_param {
          num_output: \(head + 2) weight_filler { type: "xavier" } bias_filler { type: "gaussian" std: 1 } } }
        """
      }.joined() + """
        layer { name: "other" type: "InnerProduct" bottom: "data" top: "other" inner_product_param {
          num_output: 2 bias_term: false weight_filler { type: "xavier" } } }
        """, steps: 3),
    Chain(
      name: "a leaky ReLU",
      layers: convolution + """
        layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
        layer { name: "relu" type: "ReLU" bottom: "bn" top: "relu" relu_param { negative_slope: 0.1 } }
        """, steps: 4),
  ]

  @Test(arguments: chains, [false, true])
  func fusedIsEqual(_ chain: Chain, onCPU: Bool) throws {
    let engine: any Engine = onCPU ? try CPUEngine(threads: 2) : ReferenceEngine()
    let fused = try outcome(of: chain, on: engine, keepsEverything: false)
    let kept = try outcome(of: chain, on: engine, keepsEverything: true)
    #expect(fused.steps == chain.steps)
    #expect(fused.values.keys.sorted() == kept.values.keys.sorted())
    for (name, values) in fused.values {
      let expected = try #require(kept.values[name])
      let largest = expected.map(abs).max() ?? 0
      let error = zip(values, expected).map { abs($0 - $1) }.max() ?? 0
      #expect(error <= 2e-5 * largest, "\(name): \(error) of \(largest)")
    }
  }

  /// Outputs, the input's gradient and those of the parameters, by name.
  private func outcome(
    of chain: Chain, on engine: any Engine, keepsEverything: Bool
  ) throws -> (steps: Int, values: [String: [Float]]) {
    let text = """
      layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 3 dim: 32 dim: 7 dim: 5 }
        data_filler { type: "gaussian" std: 1 } } }
      """ + chain.layers
    let source = try NetSource(text: text, file: "chain.prototxt")
    var options = NetOptions(phase: chain.phase)
    options.seed = 5
    options.keepsEverything = keepsEverything
    if chain.phase == .train {
      options.graph.seedsOutputs = true
      options.graph.forceBackward = true
    }
    let net = try Net(source, engine: engine, catalogue: LayerCatalogue(layerTypes), options: options)
    // Statistics that are kept must be those of something.
    for (index, entry) in net.parameterTable.unique.enumerated() where !entry.parameter.isLearned {
      for i in 0..<entry.parameter.count { entry.parameter.values[i] = 0.5 + Float((i + index) % 3) }
      entry.parameter.touch()
    }
    try net.forward()
    var values: [String: [Float]] = [:]
    for output in net.outputs {
      values[output.name] = try net.values(of: output)
      if chain.phase == .test { continue }
      try net.feed(gradient: (0..<output.count).map { Float($0 % 7) - 3 }, of: output)
    }
    net.clearGradients()
    try net.backward()
    if chain.phase == .test { return (net.forwardSteps.count { $0.kind == .forward }, values) }
    for (index, entry) in net.parameterTable.unique.enumerated() where entry.parameter.isLearned {
      let gradients = entry.parameter.settledGradients()
      values["parameter \(index)"] = Array(UnsafeBufferPointer(start: gradients, count: entry.parameter.count))
    }
    return (net.forwardSteps.filter { $0.kind == .forward }.count, values)
  }
}
