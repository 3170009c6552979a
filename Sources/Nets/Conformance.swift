import CaffeSchema
import Compute
import Diagnostics
import Tensors

/// A net with the values that another program computed for it: blobs, gradients, parameters.
///
/// A case is a folder with `net.prototxt`, whose inputs are Input layers, and `expected.binaryproto`, a NetParameter
/// whose layers carry blobs: `blob:B` (data after forward, diff after backward; of an output that is no loss, diff is
/// the gradient fed in), `param:L` (the values to load, their gradients) and `param_after:L` (what forward made of
/// them). Without any diff, only forward is compared.
package struct ConformanceCase {
  package struct Outcome: Sendable {
    /// The largest error over what was allowed for it; above 1 fails.
    package var worst: Float = 0
    /// |ours - theirs| there.
    package var error: Float = 0
    /// `conv1`, `conv1 gradient`, `conv parameter 0 gradient`, …
    package var place = ""

    package var passes: Bool { worst <= 1 }

    fileprivate mutating func note(_ place: String, error: Float, allowed: Float) {
      let ratio = error.isNaN ? .infinity : error / allowed
      guard ratio > worst || self.place.isEmpty else { return }
      (worst, self.error, self.place) = (ratio, error, place)
    }
  }

  package let net: NetSource
  private let expected: NetParameter
  /// Relative to the blob's largest value; nil for 1e-4, and 1e-3 for gradients of layers that add up much.
  private let tolerance: Float?

  /// The part that does not depend on the size of the values.
  private static let absolute: Float = 1e-5
  private static let roughTypes: Set<String> = ["BatchNorm", "LRN", "LSTM", "RNN"]

  /// - Throws: a `Diagnostic` when a file is missing or unreadable.
  package init(folder: String, tolerance: Float? = nil) throws {
    net = try NetSource.read(path: folder + "/net.prototxt")
    expected = try readBinary(folder + "/expected.binaryproto", as: NetParameter.self)
    self.tolerance = tolerance
  }

  /// Runs the net on `engine` and compares everything.
  package func run(engine: any Engine, catalogue: LayerCatalogue) throws -> Outcome {
    var options = NetOptions(phase: expected.state.phase)
    options.keepsEverything = true
    options.graph = GraphOptions(seedsOutputs: hasGradients && forcesBackward, learns: hasGradients)
    options.graph.learnsFrozen = forcesBackward
    let net = try Net(self.net, engine: engine, catalogue: catalogue, options: options)
    if forcesBackward { ConformanceCase.thaw(net) }
    try feedInputs(of: net)
    try loadParameters(of: net)
    var outcome = Outcome()
    try net.forward()
    try compareValues(net, &outcome)
    guard hasGradients else { return outcome }
    try feedGradients(of: net)
    net.clearGradients()
    try net.backward()
    try compareGradients(net, &outcome)
    return outcome
  }

  /// Lets parameters with `lr_mult: 0` have gradients, which the engine else leaves out.
  private static func thaw(_ net: Net) {
    for entry in net.parameterTable.unique
    where net.graph.learns(parameter: entry.index, of: net.graph.nodes[entry.layer]) {
      entry.parameter.learningRateMultiplier = 1
    }
  }

  /// Without `force_backward`, Caffe runs backward from losses alone, and inputs have no gradient.
  private var forcesBackward: Bool { net.parameter.forceBackward }

  private var hasGradients: Bool { expected.layer.contains { $0.blobs.contains { !$0.diff.isEmpty } } }

  /// The entries whose name starts with `prefix`, without it.
  private func entries(_ prefix: String) -> [(name: String, blobs: [BlobProto])] {
    expected.layer.filter { $0.name.hasPrefix(prefix) }.map { (String($0.name.dropFirst(prefix.count)), $0.blobs) }
  }

  private func feedInputs(of net: Net) throws {
    let values = Dictionary(entries("blob:").map { ($0.name, $0.blobs) }, uniquingKeysWith: { first, _ in first })
    for node in net.graph.nodes where node.fields.parameter.type == "Input" {
      for top in node.tops {
        let blob = net.blob(ofValue: top)
        guard let given = values[blob.name]?.first, given.valueCount == blob.count else {
          throw Diagnostic(.badRecord, "the case gives no \(blob.shape) values for input '\(blob.name)'")
        }
        given.copyValues(to: blob.values)
      }
    }
  }

  private func loadParameters(of net: Net) throws {
    var weights = NetParameter()
    for entry in entries("param:") {
      var layer = LayerParameter()
      layer.name = entry.name
      layer.blobs = entry.blobs
      weights.layer.append(layer)
    }
    try net.load(weights, from: "the case")
  }

  private func feedGradients(of net: Net) throws {
    let given = Dictionary(entries("blob:").map { ($0.name, $0.blobs) }, uniquingKeysWith: { first, _ in first })
    let losses = Set(net.losses.map(\.term.name))
    for output in net.outputs where output.hasGradient && !losses.contains(output.name) {
      guard let gradient = given[output.name]?.first?.gradients, gradient.count == output.liveCount else { continue }
      try net.feed(gradient: gradient, of: output)
    }
  }

  private func compareValues(_ net: Net, _ outcome: inout Outcome) throws {
    for (name, blobs) in entries("blob:") {
      guard let theirs = blobs.first, let ours = net.blob(name) else {
        throw Diagnostic(.missingBottom, "the case expects a blob '\(name)', which the net does not make")
      }
      compare(try net.values(of: ours), theirs.values, 1e-4, name, &outcome)
    }
    for (name, blobs) in entries("param_after:") {
      for (index, theirs) in blobs.enumerated() {
        guard let parameter = parameter(index, ofLayer: name, net) else { continue }
        compare(copy(parameter.values, parameter.count), theirs.values, 1e-4, "\(name) parameter \(index)", &outcome)
      }
    }
  }

  private func compareGradients(_ net: Net, _ outcome: inout Outcome) throws {
    let isRough = net.graph.nodes.contains { ConformanceCase.roughTypes.contains($0.fields.parameter.type) }
    let relative: Float = isRough ? 1e-3 : 1e-4
    for (name, blobs) in entries("blob:") {
      guard let theirs = blobs.first, !theirs.gradients.isEmpty, let first = net.versions(of: name).first else {
        continue
      }
      // Where no gradient is computed, Caffe's layers leave what they used the memory for.
      if !first.hasGradient, !forcesBackward { continue }
      let ours = first.hasGradient ? try net.gradients(of: first) : [Float](repeating: 0, count: first.liveCount)
      compare(ours, theirs.gradients, relative, "\(name) gradient", &outcome)
    }
    for (name, blobs) in entries("param:") {
      for (index, theirs) in blobs.enumerated() where !theirs.gradients.isEmpty {
        guard let parameter = parameter(index, ofLayer: name, net) else { continue }
        let ours = copy(parameter.settledGradients(), parameter.count)
        compare(ours, theirs.gradients, relative, "\(name) parameter \(index) gradient", &outcome)
      }
    }
  }

  private func parameter(_ index: Int, ofLayer name: String, _ net: Net) -> Parameter? {
    guard let layer = net.graph.nodes.firstIndex(where: { $0.fields.name == name }) else { return nil }
    let own = net.parameterTable.byLayer[layer]
    return own.indices.contains(index) ? own[index] : nil
  }

  private func copy(_ values: UnsafeMutablePointer<Float>, _ count: Int) -> [Float] {
    Array(UnsafeBufferPointer(start: values, count: count))
  }

  private func compare(_ ours: [Float], _ theirs: [Float], _ relative: Float, _ place: String, _ outcome: inout Outcome)
  {
    guard ours.count == theirs.count else {
      outcome.note("\(place): \(ours.count) values for \(theirs.count)", error: .infinity, allowed: 1)
      return
    }
    let largest = theirs.reduce(Float(0)) { $1.isFinite ? max($0, abs($1)) : $0 }
    let allowed = ConformanceCase.absolute + (tolerance ?? relative) * largest
    var worst: Float = 0
    for (a, b) in zip(ours, theirs) where !(a == b || (a.isNaN && b.isNaN)) {
      let difference = abs(a - b)
      worst = difference.isNaN ? .infinity : max(worst, difference)
    }
    outcome.note(place, error: worst, allowed: allowed)
  }
}
