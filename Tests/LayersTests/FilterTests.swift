import CaffeSchema
import Layers
import Nets
import Tensors
import Testing

/// Rows whose number each pass decides.
@Suite struct FilterTests {
  /// A net that trains on the records that pass, and the same net fed with those records alone.
  static let behind = """
    layer { name: "conv" type: "Convolution" bottom: "x" top: "conv" convolution_param { num_output: 16 kernel_size: 3
      weight_filler { type: "xavier" } bias_filler { value: 0.1 } } }
    layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
    layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" pooling_param { kernel_size: 2 stride: 2 } }
    layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip" inner_product_param { num_output: 4
      weight_filler { type: "xavier" } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" loss_param { MODE } }
    layer { name: "sigmoid" type: "SigmoidCrossEntropyLoss" bottom: "ip" bottom: "t" top: "sigmoid" }
    layer { name: "distance" type: "EuclideanLoss" bottom: "ip" bottom: "t" top: "distance" }
    layer { name: "smooth" type: "SmoothL1Loss" bottom: "ip" bottom: "t" top: "smooth"
      loss_param { normalization: BATCH_SIZE } }
    layer { name: "hinge" type: "HingeLoss" bottom: "ip" bottom: "y" top: "hinge" }
    layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "y" top: "accuracy" }
    """

  private static func input(_ top: String, _ records: Int, _ rest: String) -> String {
    #"layer { name: "\#(top)" type: "Input" top: "\#(top)" input_param { shape { dim: \#(records) \#(rest) } } }"#
  }

  private func net(_ mode: String, records: Int, filtered: Bool, _ engine: String) throws -> Net {
    let names = filtered ? ["x0", "y0", "t0"] : ["x", "y", "t"]
    var text = Self.input(names[0], records, "dim: 2 dim: 6 dim: 6") + Self.input(names[1], records, "")
    text += Self.input(names[2], records, "dim: 4")
    if filtered {
      text += Self.input("s", records, "dim: 1")
      text += #"layer { name: "f" type: "Filter" bottom: "x0" bottom: "y0" bottom: "t0" bottom: "s" "#
      text += #"top: "x" top: "y" top: "t" }"#
    }
    var options = NetOptions(phase: .train)
    options.seed = 5
    options.keepsEverything = true
    return try Net(
      NetSource(text: text + Self.behind.replacing("MODE", with: mode), file: "net"),
      engine: SweepTests.engine(engine), catalogue: LayerCatalogue(layerTypes), options: options)
  }

  private func feed(_ net: Net, _ names: [String], _ records: [Int]) throws {
    for (part, name) in names.enumerated() {
      let blob = try #require(net.blob(name))
      let width = blob.count / records.count
      for (row, record) in records.enumerated() {
        let stream = RandomStream(seed: 3, UInt64(part), UInt64(record))
        for i in 0..<width {
          blob.values[row * width + i] = part == 1 ? Float(stream.integer(i, below: 4)) : Float(stream.normal(i))
        }
      }
    }
  }

  private func gradients(_ net: Net) -> [[Float]] {
    net.parameterTable.unique.map { entry in
      Array(UnsafeBufferPointer(start: entry.parameter.settledGradients(), count: entry.parameter.count))
    }
  }

  static let modes = ["VALID", "FULL", "BATCH_SIZE", "NONE"].map { "normalization: \($0)" }

  @Test(arguments: modes, SweepTests.engines.map(\.name))
  func trainsOnWhatPasses(_ mode: String, _ engine: String) throws {
    let whole = try net(mode, records: 6, filtered: true, engine)
    // One net sees several numbers of rows, one after the other.
    for passing in [[0, 2, 3], [1, 2, 3, 4, 5], [4]] {
      try feed(whole, ["x0", "y0", "t0"], Array(0..<6))
      let selector = try #require(whole.blob("s"))
      for i in 0..<6 { selector.values[i] = passing.contains(i) ? -0.5 : 0 }
      let part = try net(mode, records: passing.count, filtered: false, engine)
      try feed(part, ["x", "y", "t"], passing)
      for net in [whole, part] {
        try net.forward()
        net.clearGradients()
        try net.backward()
      }
      #expect(try whole.values(of: #require(whole.blob("ip"))).count == passing.count * 4)
      for name in ["ip", "loss", "sigmoid", "distance", "smooth", "hinge", "accuracy"] {
        let (ours, theirs) = (try #require(whole.blob(name)), try #require(part.blob(name)))
        for (a, b) in zip(try whole.values(of: ours), try part.values(of: theirs)) {
          #expect(abs(a - b) <= 1e-5 + 1e-4 * abs(b), "\(name)")
        }
      }
      for (ours, theirs) in zip(gradients(whole), gradients(part)) {
        let largest = theirs.reduce(0) { max($0, abs($1)) }
        for (a, b) in zip(ours, theirs) { #expect(abs(a - b) <= 1e-5 + 1e-4 * largest) }
      }
    }
  }

  /// No record passes: losses are 0 and nothing learns.
  @Test(arguments: SweepTests.engines.map(\.name))
  func nothingPasses(_ engine: String) throws {
    let net = try net("normalization: VALID", records: 4, filtered: true, engine)
    try feed(net, ["x0", "y0", "t0"], Array(0..<4))
    try #require(net.blob("s")).values.update(repeating: 0, count: 4)
    #expect(try net.forward() == 0)
    net.clearGradients()
    try net.backward()
    #expect(gradients(net).allSatisfy { $0.allSatisfy { $0 == 0 } })
  }
}
