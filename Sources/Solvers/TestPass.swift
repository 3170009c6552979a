import Nets
import Tensors

/// One number that a net puts out.
package struct OutputValue: Sendable {
  package var name: String
  package var value: Float
  /// 0 for what is no loss.
  package var lossWeight: Float
  /// The labelled positions behind it; for outputs that do not count labels, the batches.
  package var count: Int
}

/// Averages a net's outputs over several forward passes.
///
/// Each pass counts as much as it has labelled positions (all alike for outputs that do not count labels), so that
/// missing labels do not pull an average.
package struct TestPass {
  private struct Sum {
    let name: String
    let blob: Blob
    let element: Int
    let lossWeight: Float
    let counter: (any LossRun)?
    var total = 0.0
    var weight = 0
  }

  private let net: Net
  private var sums: [Sum] = []

  package init(_ net: Net) {
    self.net = net
    let weights = Dictionary(net.losses.map { ($0.term.name, $0.term.weight) }, uniquingKeysWith: { first, _ in first })
    // Rows that come and go have no average.
    for value in net.graph.outputs where net.graph.values[value].rows == nil {
      let blob = net.blob(ofValue: value)
      let counter = net.run(ofLayer: net.graph.values[value].producer) as? any LossRun
      for element in 0..<blob.count {
        sums.append(
          Sum(name: blob.name, blob: blob, element: element, lossWeight: weights[blob.name] ?? 0, counter: counter))
      }
    }
  }

  /// Runs the net `iterations` times and adds its outputs.
  package mutating func run(iterations: Int, each: (Int) throws -> Void = { _ in }) throws {
    for iteration in 0..<iterations {
      try net.forward()
      add()
      try each(iteration + 1)
    }
  }

  /// Adds the outputs of the pass that has just run.
  package mutating func add() {
    var plain: [ObjectIdentifier: [Float]] = [:]
    for index in sums.indices {
      let key = ObjectIdentifier(sums[index].blob)
      let values = plain[key] ?? ((try? net.values(of: sums[index].blob)) ?? [])
      plain[key] = values
      let weight = sums[index].counter?.labelledCount ?? 1
      guard weight > 0 else { continue }
      sums[index].total += Double(values[sums[index].element]) * Double(weight)
      sums[index].weight += weight
    }
  }

  /// The averages so far; 0 over 0 where nothing was labelled.
  package var outputs: [OutputValue] {
    sums.map {
      OutputValue(
        name: $0.name, value: $0.weight == 0 ? 0 : Float($0.total / Double($0.weight)), lossWeight: $0.lossWeight,
        count: $0.weight)
    }
  }
}
