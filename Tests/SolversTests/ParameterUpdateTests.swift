import CaffeSchema
import ComputeReference
import Layers
import Nets
import Testing

@testable import Solvers

/// Steps of one weight, worked out by hand.
@Suite struct ParameterUpdateTests {
  /// A net with the parameters w = 2 and b = 1 whose gradients are 0.5 and 0.25.
  private func step(_ solver: String, _ iterations: Int = 1, rate: Float = 0.1) throws -> (w: Float, b: Float) {
    let net = try Net(
      NetSource(
        text: """
          layer { name: "in" type: "Input" top: "in" input_param { shape { dim: 1 dim: 1 } } }
          layer { name: "ip" type: "InnerProduct" bottom: "in" top: "ip" param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
            inner_product_param { num_output: 1 weight_filler { value: 2 } bias_filler { value: 1 } } }
          layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "in" top: "loss" }
          """, file: "n"),
      engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes), options: NetOptions(phase: .train))
    let source = try SolverSource(text: #"net: "n" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 "# + solver, file: "s")
    let update = try ParameterUpdate(SolverSettings(source), net)
    let (w, b) = (net.parameterTable.unique[0].parameter, net.parameterTable.unique[1].parameter)
    for iteration in 0..<iterations {
      for (parameter, value) in [(w, Float(0.5)), (b, 0.25)] {
        parameter.clearGradient()
        parameter.accumulate { gradients, _ in gradients[0] = value }
      }
      #expect(update.gradientsAreFinite)
      update.apply(rate: rate, iteration: iteration)
    }
    return (w.values[0], b.values[0])
  }

  private func expectNear(_ a: Float, _ b: Float) { #expect(abs(a - b) < 2e-6 * max(1, abs(b)), "\(a) is not \(b)") }

  /// Adam's first step is the rate, whatever the gradient; the decay comes off before it, with the parameter's own rate.
  @Test func adamWTakesTheDecayOffTheWeights() throws {
    let (w, b) = try step(#"type: "AdamW" momentum: 0.9 momentum2: 0.999 weight_decay: 0.5"#)
    expectNear(w, 2 * (1 - 0.1 * 0.5) - 0.1)
    expectNear(b, 1 - 0.2)
  }

  /// A constant gradient keeps Adam's step at the rate: w' = (1 - 0.05) w - 0.1, three times.
  @Test func adamWOverSeveralSteps() throws {
    let (w, _) = try step(#"type: "AdamW" momentum: 0.9 weight_decay: 0.5"#, 3)
    expectNear(w, ((2 * 0.95 - 0.1) * 0.95 - 0.1) * 0.95 - 0.1)
  }

  @Test func adamWWithoutDecayIsAdam() throws {
    let (a, b) = (try step(#"type: "AdamW" momentum: 0.9"#, 5), try step(#"type: "Adam" momentum: 0.9"#, 5))
    #expect(a == b)
  }

  /// eta |w| / |g| = 0.01 * 2 / 0.5 = 0.04, and 0.01 * 1 / 0.25 = 0.04; lr_mult 2 counts for nothing.
  @Test func larc() throws {
    let scaled = try step("larc: true larc_eta: 0.01")
    expectNear(scaled.w, 2 - 0.1 * 0.04 * 0.5)
    expectNear(scaled.b, 1 - 0.1 * 0.04 * 0.25)
    let clipped = try step(#"larc: true larc_eta: 0.01 larc_policy: "clip""#)
    expectNear(clipped.w, 2 - 0.04 * 0.5)
    let low = try step(#"larc: true larc_eta: 0.01 larc_policy: "clip""#, rate: 0.01)
    expectNear(low.w, 2 - 0.01 * 0.5)
  }

  @Test func seesAGradientThatIsNoNumber() throws {
    let net = try Net(
      NetSource(
        text: """
          layer { name: "in" type: "Input" top: "in" input_param { shape { dim: 1 dim: 1 } } }
          layer { name: "ip" type: "InnerProduct" bottom: "in" top: "ip" inner_product_param { num_output: 3 bias_term: false } }
          layer { name: "loss" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 }
          """, file: "n"),
      engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes), options: NetOptions(phase: .train))
    let source = try SolverSource(text: #"net: "n" base_lr: 0.1 lr_policy: "fixed" max_iter: 1 "#, file: "s")
    let update = try ParameterUpdate(SolverSettings(source), net)
    let parameter = net.parameterTable.unique[0].parameter
    #expect(update.gradientsAreFinite)
    parameter.accumulate { gradients, _ in for i in 0..<3 { gradients[i] = i == 2 ? -.infinity : 0 } }
    #expect(!update.gradientsAreFinite)
    // What was cleared does not count, whatever its memory holds.
    parameter.clearGradient()
    #expect(update.gradientsAreFinite)
  }
}
