import Nets
import Tensors

/// A line of the table of times: a layer, or what lies between layers, with its steps of both directions.
struct TimedRow {
  /// One direction of a row.
  struct Direction {
    /// Per pass.
    var seconds: [Double]
    var multiplyAdds: Int
    /// Bytes of the blobs that it reads and writes.
    var byteCount: Int
  }

  /// Without blanks between layers, so that scripts that take words apart go on working: `pool1_reorder_nhwc`.
  let name: String
  /// The layer's type, or the step's kind.
  let type: String
  /// Whether it makes a net's inputs.
  var isData = false
  var forward: Direction?
  var backward: Direction?
  /// The names of the layers whose work its steps do too.
  var absorbed: [String] = []
  /// What the row's forward step writes; nil for rows between layers that run backward only.
  private var tops: [Blob] = []

  private init(
    name: String, type: String, isData: Bool = false, absorbed: [String] = [], forward: Direction? = nil,
    tops: [Blob] = []
  ) {
    self.name = name
    self.type = type
    self.isData = isData
    self.absorbed = absorbed
    self.forward = forward
    self.tops = tops
  }

  /// The rows of a net in the order of its forward steps; steps that add up or clear gradients follow the row whose top
  /// they work on.
  static func rows(of net: Net, _ times: StepTimes) -> [TimedRow] {
    var rows = zip(net.forwardSteps, times.forward).map { step, seconds in
      let node = step.kind == .forward ? step.layer.map { net.graph.nodes[$0] } : nil
      return TimedRow(
        name: step.rowName, type: step.layerTypes(in: net) ?? step.kind.rawValue,
        isData: node.map { Swift.type(of: $0.definition).role == .data } ?? false,
        absorbed: step.absorbed.map { net.graph.nodes[$0].fields.name }, forward: Direction(step, seconds),
        tops: step.tops)
    }
    for (step, seconds) in zip(net.backwardSteps, times.backward) {
      guard let row = rows.firstIndex(where: { $0.makes(step) }) else { continue }
      switch step.kind {
      case .backward, .reorderBack:
        rows[row].backward = Direction(step, seconds)
      case .forward, .reorder, .sum, .seed, .zero, .compare, .weigh:
        var extra = TimedRow(name: step.rowName, type: step.kind.rawValue)
        extra.backward = Direction(step, seconds)
        rows.insert(extra, at: row + 1)
      }
    }
    return rows
  }

  /// Whether this is the row of the layer or reorder whose top the step works on. A layer without tops has no other row.
  private func makes(_ step: Step) -> Bool {
    step.tops.contains { top in tops.contains { $0 === top } }
  }

  /// Both directions.
  var directions: [Direction] { [forward, backward].compactMap { $0 } }
}

extension TimedRow.Direction {
  fileprivate init(_ step: Step, _ seconds: [Double]) {
    self.init(seconds: seconds, multiplyAdds: step.multiplyAdds, byteCount: step.isView ? 0 : step.byteCount)
  }
}

extension Step {
  /// Bytes of the regions that it reads and writes.
  var byteCount: Int { (reads + writes).map(\.byteCount).reduce(0, +) }

  /// Whether its tops are its bottoms' memory by their nature, so that there is nothing to do.
  var isView: Bool {
    !tops.isEmpty && tops.allSatisfy { top in bottoms.contains { $0.dataRegion === top.dataRegion } }
  }

  fileprivate var rowName: String {
    switch kind {
    case .forward, .backward: name
    case .reorder, .reorderBack: "\(name)_reorder_\(tops.first?.layout.name ?? "")"
    case .sum, .seed, .zero, .compare, .weigh: "\(name)_\(kind.rawValue)"
    }
  }
}
