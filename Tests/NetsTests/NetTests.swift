import CaffeSchema
import ComputeReference
import Diagnostics
import Layers
import Nets
import Tensors
import Testing

@Suite struct NetTests {
  private func makeNet(_ text: String, _ change: (inout NetOptions) -> Void = { _ in }) throws -> Net {
    var options = NetOptions(phase: .train)
    options.seed = 5
    change(&options)
    return try Net(
      NetSource(text: text, file: "net.prototxt"), engine: ReferenceEngine(), catalogue: LayerCatalogue(layerTypes),
      options: options)
  }

  /// Branches, an in-place chain, a shared bottom and two losses.
  private static let branched = """
    layer { name: "x" type: "DummyData" top: "x" top: "t" top: "l" dummy_data_param {
      shape { dim: 4 dim: 3 dim: 6 dim: 6 } shape { dim: 4 dim: 5 } shape { dim: 4 }
      data_filler { type: "gaussian" std: 1 } data_filler { type: "gaussian" std: 1 } data_filler { value: 1 } } }
    layer { name: "c1" type: "Convolution" bottom: "x" top: "c1" convolution_param { num_output: 4 kernel_size: 3
      weight_filler { type: "xavier" } } }
    layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
    layer { name: "d1" type: "Dropout" bottom: "c1" top: "c1" }
    layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param { num_output: 4 kernel_size: 3 pad: 1
      weight_filler { type: "xavier" } } }
    layer { name: "sum" type: "Eltwise" bottom: "c1" bottom: "c2" top: "sum" }
    layer { name: "r2" type: "ReLU" bottom: "sum" top: "sum" }
    layer { name: "flat" type: "Flatten" bottom: "sum" top: "flat" }
    layer { name: "fit" type: "InnerProduct" bottom: "flat" top: "fit" inner_product_param { num_output: 5
      weight_filler { type: "xavier" } } }
    layer { name: "score" type: "InnerProduct" bottom: "sum" top: "score" inner_product_param { num_output: 3
      weight_filler { type: "xavier" } } }
    layer { name: "e" type: "EuclideanLoss" bottom: "fit" bottom: "t" top: "e" loss_weight: 0.5 }
    layer { name: "s" type: "SoftmaxWithLoss" bottom: "score" bottom: "l" top: "s" }
    """

  private func gradients(_ net: Net) throws -> [[Float]] {
    net.clearGradients()
    try net.forward()
    try net.backward()
    return net.parameterTable.unique.map {
      Array(UnsafeBufferPointer(start: $0.parameter.settledGradients(), count: $0.parameter.count))
    }
  }

  @Test func sharingMemoryChangesNothing() throws {
    let planned = try makeNet(Self.branched)
    let kept = try makeNet(Self.branched) { $0.keepsEverything = true }
    #expect(planned.memoryPlan.byteCount < kept.memoryPlan.byteCount / 2)
    for _ in 0..<3 { #expect(try gradients(planned) == gradients(kept)) }
    #expect(planned.objective == kept.objective)
  }

  @Test func noTwoRegionsOverlapWhileBothAreInUse() throws {
    let plan = try makeNet(Self.branched).memoryPlan
    for (index, a) in plan.entries.enumerated() {
      for b in plan.entries[(index + 1)...] where a.steps.overlaps(b.steps) {
        let apart =
          a.offset + a.region.byteCount <= b.offset || b.offset + b.region.byteCount <= a.offset
        #expect(apart)
      }
    }
  }

  @Test func objectiveIsTheWeightedSum() throws {
    let net = try makeNet(Self.branched)
    let objective = try net.forward()
    let e = try #require(net.blob("e")).values[0]
    let s = try #require(net.blob("s")).values[0]
    #expect(objective == 0.5 * e + s)
  }

  @Test func outputsComeByName() throws {
    #expect(try makeNet(Self.branched).outputs.map(\.name) == ["e", "s"])
  }

  @Test func frozenTrunkRunsNoBackward() throws {
    let frozen = Self.branched.replacing(
      "convolution_param { num_output: 4",
      with: "param { lr_mult: 0 } param { lr_mult: 0 } convolution_param { num_output: 4")
    let net = try makeNet(frozen)
    let layers = Set(net.backwardSteps.filter { $0.kind == .backward }.map(\.name))
    #expect(layers == ["fit", "score", "e", "s"])
  }

  @Test func propagateDownStopsTheGradient() throws {
    let stopped = Self.branched.replacing(
      #"bottom: "flat" top: "fit""#, with: #"bottom: "flat" top: "fit" propagate_down: false"#)
    let net = try makeNet(stopped)
    #expect(!net.backwardSteps.contains { $0.kind == .backward && $0.name == "flat" })
    #expect(net.backwardSteps.contains { $0.kind == .backward && $0.name == "fit" })
  }

  @Test func lossWeightZeroTakesNoPart() throws {
    let net = try makeNet(Self.branched.replacing("loss_weight: 0.5", with: "loss_weight: 0"))
    #expect(net.losses.map(\.term.name) == ["s"])
    #expect(!net.backwardSteps.contains { $0.name == "fit" })
  }

  @Test func aFactorScalesTheGradientOfALoss() throws {
    let net = try makeNet(Self.branched)
    let once = try gradients(net)
    for loss in net.losses { loss.term.factor = 2 }
    net.clock.pass = 0
    let twice = try gradients(net)
    for (a, b) in zip(once, twice) {
      for (x, y) in zip(a, b) { #expect(abs(2 * x - y) <= 1e-5 * max(1, abs(y))) }
    }
  }

  @Test func sameSeedSameNumbersOtherSeedOthers() throws {
    let a = try gradients(makeNet(Self.branched))
    #expect(try gradients(makeNet(Self.branched)) == a)
    #expect(try gradients(makeNet(Self.branched) { $0.seed = 6 }) != a)
  }

  @Test func phasesLevelsAndStages() throws {
    let text = """
      layer { name: "a" type: "Input" top: "a" input_param { shape { dim: 1 } } }
      layer { name: "train" type: "ReLU" bottom: "a" top: "train" include { phase: TRAIN } }
      layer { name: "deep" type: "ReLU" bottom: "a" top: "deep" include { min_level: 2 } }
      layer { name: "staged" type: "ReLU" bottom: "a" top: "staged" include { stage: "s" not_stage: "t" } }
      layer { name: "either" type: "ReLU" bottom: "a" top: "either" include { phase: TEST } include { stage: "s" } }
      layer { name: "excluded" type: "ReLU" bottom: "a" top: "excluded" exclude { phase: TEST } }
      """
    func layers(_ phase: Phase, level: Int32 = 0, stages: [String] = []) throws -> [String] {
      let net = try makeNet(text) {
        $0.state.phase = phase
        $0.state.level = level
        $0.state.stage = stages
      }
      return net.graph.nodes.map(\.fields.name)
    }
    #expect(try layers(.train) == ["a", "train", "excluded"])
    #expect(try layers(.test) == ["a", "either"])
    #expect(try layers(.train, level: 2) == ["a", "train", "deep", "excluded"])
    #expect(try layers(.train, stages: ["s"]) == ["a", "train", "staged", "either", "excluded"])
    #expect(try layers(.test, stages: ["s", "t"]) == ["a", "either"])
  }

  @Test func testNetUsesTheTrainingNetsParameters() throws {
    let train = try makeNet(Self.branched)
    let test = try makeNet(Self.branched) {
      $0.state.phase = .test
      $0.graph.learns = false
      $0.sharing = train
    }
    #expect(zip(train.parameterTable.unique, test.parameterTable.unique).allSatisfy { $0.parameter === $1.parameter })
    #expect(test.backwardSteps.isEmpty)
  }

  @Test func snapshotCarriesTheNetAndItsWeights() throws {
    let net = try makeNet(Self.branched)
    let other = try makeNet(Self.branched) { $0.seed = 6 }
    let report = try other.load(net.snapshot(), from: "snapshot")
    #expect(report.loaded == ["c1", "c2", "fit", "score"])
    #expect(report.missing.isEmpty && report.unused.isEmpty)
    #expect(try gradients(net).count == gradients(other).count)
    #expect(other.snapshot() == net.snapshot())
  }

  @Test func weightsThatDoNotFitChangeNothing() throws {
    let net = try makeNet(Self.branched)
    var weights = net.snapshot()
    let score = try #require(weights.layer.firstIndex { $0.name == "score" })
    weights.layer[score].blobs[0].shape.dim = [2, 64]
    let before = net.snapshot()
    let fault = #expect(throws: Diagnostic.self) { try net.load(weights, from: "other.caffemodel") }
    #expect(fault?.message == "weights is 3x64, but other.caffemodel holds 2x64")
    #expect(fault?.layer?.name == "score")
    #expect(net.snapshot() == before)
  }
}
