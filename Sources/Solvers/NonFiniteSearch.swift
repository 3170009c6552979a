import Compute
import Diagnostics
import Nets
import Tasks
import Tensors

/// Finds where in a net a pass first made values that are no numbers, by running it once more, step by step.
///
/// A pass is a function of its number, so the same values come again. Labels may be NaN, which means that there is none;
/// what counts is the first value that depends on a parameter, and what went into it.
struct NonFiniteSearch {
  private let net: Net
  private let iteration: Int
  private let pass: Int

  /// - Parameter net: right after the pass.
  init(_ net: Net, iteration: Int) {
    self.net = net
    self.iteration = iteration
    pass = net.clock.pass - 1
  }

  /// Values that are no numbers.
  private struct Finding {
    var what: String
    var layer: Int
    var bad: Int
    var count: Int
    /// Positions along the first axis.
    var items: [Int]
    var itemCount: Int
  }

  /// Names the tasks, the blob with its layer, and the records.
  func diagnose() throws -> Diagnostic {
    let losses = brokenLosses
    if let entry = net.parameterTable.unique.first(where: {
      !net.engine.vectors.isFinite($0.parameter.count, $0.parameter.values)
    }) {
      return fault(losses, entry.layer, "the layer's parameter '\(entry.name)' holds values that are no numbers")
    }
    net.clock.pass = pass
    defer { net.clock.pass = pass + 1 }
    guard let found = try searchForward() ?? searchBackward() else { return fault(losses, nil, nil) }
    let share = "\(found.bad) of \(found.count) values"
    var diagnostic = fault(losses, found.layer, "the first values that are no numbers are in \(found.what) (\(share))")
    diagnostic.notes += try notes(on: found)
    return diagnostic
  }

  private var brokenLosses: String {
    let tasks = TaskTable(net).tasks
    let broken = net.losses.filter { !$0.blob.values[0].isFinite }.map { term, blob in
      let task = tasks.first { $0.losses.contains { net.graph.values[$0].name == term.name } }
      let value = blob.values[0].isNaN ? "nan" : logText(blob.values[0])
      return "loss '\(term.name)'\(task.map { " (task '\($0.name)')" } ?? "") is \(value)"
    }
    if !broken.isEmpty { return broken.joined(separator: ", ") }
    return net.objective.isFinite
      ? "the losses are numbers, but not their gradients"
      : "the losses are numbers, but their sum times the weights is \(logText(net.objective))"
  }

  private func fault(_ losses: String, _ layer: Int?, _ what: String?) -> Diagnostic {
    let fields = layer.map { net.graph.nodes[$0].fields }
    return Diagnostic(
      .nonFinite, "iteration \(iteration): \(losses)" + (what.map { "; \($0)" } ?? ""), layer: fields?.identity,
      at: fields?.location(),
      notes: [.init("lower base_lr or the task's loss_weight, set clip_gradients, or look for broken records")])
  }

  // MARK: Searching

  private func searchForward() throws -> Finding? {
    // Of values that nothing is learned from, such as data.
    var inputs: [String: Finding] = [:]
    for step in net.forwardSteps {
      try step.run()
      for top in step.tops {
        guard let layer = step.layer, let finding = finding(try net.values(of: top), top, "blob", layer) else {
          continue
        }
        guard top.hasGradient else {
          inputs[top.name] = finding
          continue
        }
        return origin(of: finding, inputs) ?? finding
      }
    }
    return nil
  }

  /// The input that made a layer's top what it is; labels are none, since NaN means there that nothing is known.
  private func origin(of finding: Finding, _ inputs: [String: Finding]) -> Finding? {
    let node = net.graph.nodes[finding.layer]
    return node.bottoms.enumerated().lazy.filter { node.definition.takesGradient(bottom: $0.offset) }
      .compactMap { inputs[net.graph.values[$0.element].name] }.first
  }

  private func searchBackward() throws -> Finding? {
    net.clearGradients()
    for step in net.backwardSteps {
      try step.run()
      guard step.kind == .backward, let layer = step.layer else { continue }
      for bottom in step.bottoms where bottom.hasGradient {
        if let found = finding(try net.gradients(of: bottom), bottom, "the gradient of blob", layer) { return found }
      }
      for entry in net.parameterTable.unique where entry.layer == layer && entry.parameter.isLearned {
        let gradients = UnsafeBufferPointer(start: entry.parameter.settledGradients(), count: entry.parameter.count)
        let bad = gradients.count { !$0.isFinite }
        if bad > 0 {
          return Finding(
            what: "the gradient of the \(entry.name)", layer: layer, bad: bad, count: gradients.count, items: [],
            itemCount: 0)
        }
      }
    }
    return nil
  }

  private func finding(_ values: [Float], _ blob: Blob, _ what: String, _ layer: Int) -> Finding? {
    let bad = values.indices.filter { !values[$0].isFinite }
    guard !bad.isEmpty else { return nil }
    let items = max(1, blob.shape.extent(0))
    let size = max(1, values.count / items)
    var places: [Int] = []
    for index in bad where places.last != index / size { places.append(index / size) }
    return Finding(
      what: "\(what) '\(blob.name)'", layer: layer, bad: bad.count, count: values.count, items: places,
      itemCount: items)
  }

  // MARK: Records

  /// The keys of the records at fault, or of the batch where that cannot be told.
  private func notes(on found: Finding) throws -> [Diagnostic.Note] {
    try net.graph.nodes.indices.compactMap { layer -> Diagnostic.Note? in
      guard let records = net.run(ofLayer: layer) as? any RecordRun else { return nil }
      let keys = try records.keys(ofPass: pass)
      let isOfRecords = found.itemCount == keys.count && found.items.count < keys.count
      let shown = isOfRecords ? found.items.map { keys[$0] } : keys
      let list = shown.prefix(4).map { "'\($0)'" }.joined(separator: ", ")
      let more = shown.count > 4 ? " and \(shown.count - 4) more" : ""
      return .init("\(isOfRecords ? "the records" : "the records of the batch") in '\(records.source)': \(list)\(more)")
    }
  }
}
