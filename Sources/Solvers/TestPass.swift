import Nets
import Tensors

/// One number that a net puts out.
package struct OutputValue: Sendable {
  package var name: String
  package var value: Float
  /// 0 for what is no loss.
  package var lossWeight: Float
  /// The labelled positions behind it; for outputs that do not count labels, the batches. With 0 the value means
  /// nothing: tables and logs show '-'.
  package var count: Int

  package var isKnown: Bool { count > 0 }
}

/// A net's outputs over several forward passes: averages, and metrics that look at all passes at once.
///
/// In an average each pass counts as much as it has labelled positions (all alike for outputs that do not count labels),
/// so that missing labels do not pull it. A `WholePassRun` gathers while `run` lasts; records that come a second time,
/// after a whole round, are not gathered again.
package struct TestPass {
  private struct Sum {
    let name: String
    let blob: Blob
    let element: Int
    let lossWeight: Float
    let counter: (any LossRun)?
    /// Which of its layer's tops it is.
    let top: Int
    /// Of metrics over the whole pass: the place in `gatherings`, and which top it is.
    let whole: (gathering: Int, top: Int)?
    var total = 0.0
    var weight = 0
  }

  private struct Gathering {
    let layer: String
    let run: any WholePassRun
    let rows: GatheredRows
  }

  private let net: Net
  private var sums: [Sum] = []
  private var gatherings: [Gathering] = []
  private var passes = 0

  package init(_ net: Net) {
    self.net = net
    var places: [Int: Int] = [:]
    for (index, node) in net.graph.nodes.enumerated() {
      guard let run = net.run(ofLayer: index) as? any WholePassRun else { continue }
      places[index] = gatherings.count
      gatherings.append(Gathering(layer: node.fields.name, run: run, rows: GatheredRows(width: run.gatheredWidth)))
    }
    let weights = Dictionary(net.losses.map { ($0.term.name, $0.term.weight) }, uniquingKeysWith: { first, _ in first })
    // Rows that come and go have no average.
    for value in net.graph.outputs where net.graph.values[value].rows == nil {
      let blob = net.blob(ofValue: value)
      let producer = net.graph.values[value].producer
      let counter = net.run(ofLayer: producer) as? any LossRun
      let top = net.graph.nodes[producer].tops.firstIndex(of: value)
      let whole = places[producer].flatMap { gathering in top.map { (gathering: gathering, top: $0) } }
      for element in 0..<blob.count {
        sums.append(
          Sum(
            name: blob.name, blob: blob, element: element, lossWeight: weights[blob.name] ?? 0, counter: counter,
            top: net.graph.values[value].top, whole: whole))
      }
    }
  }

  /// Runs the net `iterations` times and adds its outputs.
  package mutating func run(iterations: Int, each: (Int) throws -> Void = { _ in }) throws {
    for gathering in gatherings { gathering.run.gathered = gathering.rows }
    defer { for gathering in gatherings { gathering.run.gathered = nil } }
    for iteration in 0..<iterations {
      let counts = gatherings.map(\.rows.count)
      try net.forward()
      add()
      passes += 1
      leaveOutRepeated(since: counts)
      try each(iteration + 1)
    }
  }

  /// Removes rows of the last pass whose records were in an earlier one; rows that go with no single record stay.
  private func leaveOutRepeated(since counts: [Int]) {
    guard let records = net.records else { return }
    let repeated = min(records.batchSize, passes * records.batchSize - records.recordCount)
    guard repeated > 0 else { return }
    for (gathering, before) in zip(gatherings, counts) where gathering.rows.count - before == records.batchSize {
      gathering.rows.removeLast(repeated)
    }
  }

  /// Adds the outputs of the pass that has just run.
  package mutating func add() {
    var plain: [ObjectIdentifier: [Float]] = [:]
    for index in sums.indices {
      let key = ObjectIdentifier(sums[index].blob)
      let values = plain[key] ?? ((try? net.values(of: sums[index].blob)) ?? [])
      plain[key] = values
      let weight = sums[index].counter?.labelledCount(top: sums[index].top, element: sums[index].element) ?? 1
      guard weight > 0 else { continue }
      sums[index].total += Double(values[sums[index].element]) * Double(weight)
      sums[index].weight += weight
    }
  }

  /// Adds what another pass saw, of the same net with another size of batches. Outputs that this one does not have are
  /// left out.
  package mutating func add(_ other: TestPass) {
    for index in sums.indices {
      let same = other.sums.first { $0.name == sums[index].name && $0.element == sums[index].element }
      guard let same else { continue }
      sums[index].total += same.total
      sums[index].weight += same.weight
    }
    for (mine, theirs) in zip(gatherings, other.gatherings) { mine.rows.append(contentsOf: theirs.rows) }
  }

  /// The averages and the metrics so far; 0 over 0 where nothing was labelled. Rankings of many records take their time.
  package var outputs: [OutputValue] {
    // What was added without `run` is a batch that was not gathered: its own value is what there is.
    let whole = gatherings.map { $0.rows.count == 0 ? nil : $0.run.values(over: $0.rows) }
    return sums.map { sum in
      var value = sum.weight == 0 ? 0 : Float(sum.total / Double(sum.weight))
      var count = sum.weight
      if let place = sum.whole, let values = whole[place.gathering] {
        let gathering = gatherings[place.gathering]
        value = values[place.top][sum.element]
        count = gathering.run.labelledCount(in: gathering.rows)
      }
      return OutputValue(name: sum.name, value: value, lossWeight: sum.lossWeight, count: count)
    }
  }

  /// The tables of the metrics over the whole pass, with the names of their layers.
  package var tables: [(layer: String, table: MetricTable)] {
    gatherings.flatMap { gathering in
      gathering.run.tables(over: gathering.rows).map { (gathering.layer, $0) }
    }
  }

  /// The curves of the metrics over the whole pass, with the names of their layers.
  package var curves: [(layer: String, curve: MetricCurve)] {
    gatherings.flatMap { gathering in
      gathering.run.curves(over: gathering.rows).map { (layer: gathering.layer, curve: $0) }
    }
  }
}
