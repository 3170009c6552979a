import CaffeSchema
import Diagnostics
import Nets
import Tasks

/// The best test of a run so far.
package struct BestScore: Codable, Equatable, Sendable {
  /// As the user gave it.
  package var metric: String
  package var value: Float
  package var iteration: Int
}

/// What the best weights are best at: a number made of the outputs of the test nets.
///
/// A metric is the name of an output of a test net; or `loss`, the sum of all losses times their weights; or a layer
/// type such as `accuracy`, the mean over all outputs of such layers, which is the mean over tasks. Losses are best when
/// lowest, all else when highest; `min:NAME` and `max:NAME` say otherwise.
package struct BestMetric: Sendable {
  /// As the user gave it.
  package let text: String
  private let isBestLowest: Bool
  /// A sum of terms times their factors, rather than their mean.
  private let isSum: Bool
  /// What each output counts: the net, the output's name, and its factor.
  private let terms: [(net: Int, output: String, factor: Float)]

  /// - Throws: `badArgument` with what could be named instead.
  package init(_ text: String, tests: [Net]) throws {
    self.text = text
    var name = text
    var wantsLowest: Bool?
    for (mark, lowest) in [("min:", true), ("max:", false)] where text.hasPrefix(mark) {
      name = String(text.dropFirst(mark.count))
      wantsLowest = lowest
    }
    let outputs = tests.enumerated().flatMap { index, net in net.graph.outputs.map { (net: index, value: $0) } }
    func value(_ output: (net: Int, value: Int)) -> Graph.Value { tests[output.net].graph.values[output.value] }
    func type(_ output: (net: Int, value: Int)) -> String {
      tests[output.net].graph.nodes[value(output).producer].fields.parameter.type
    }
    var isLoss = false
    var isSum = false
    let named = outputs.filter { value($0).name == name }
    let typed = outputs.filter { type($0).lowercased() == name.lowercased() }
    if !named.isEmpty {
      terms = named.map { ($0.net, name, 1 / Float(named.count)) }
      isLoss = named.contains { value($0).lossWeight != 0 }
    } else if name == "loss" {
      let losses = outputs.filter { value($0).lossWeight != 0 }
      terms = losses.map { ($0.net, value($0).name, value($0).lossWeight) }
      isLoss = true
      isSum = true
    } else {
      terms = typed.map { ($0.net, value($0).name, 1 / Float(typed.count)) }
    }
    guard !terms.isEmpty else {
      let known = outputs.map { value($0).name }
      let meant = nearestName(to: name, among: known).map { "; did you mean '\($0)'?" } ?? ""
      throw Diagnostic(
        .badArgument,
        tests.isEmpty
          ? "--keep-best \(text): the solver has no test net; add test_iter and test_interval"
          : "--keep-best \(text): no test net has such an output\(meant) (outputs: \(known.joined(separator: ", ")); or "
            + "'loss' for the sum of all losses, or a layer type such as 'accuracy' for the mean over tasks)")
    }
    self.isSum = isSum
    isBestLowest = wantsLowest ?? isLoss
  }

  /// Of all tasks together: the mean of their metrics where all are of one kind, or else the sum of the losses.
  ///
  /// - Parameter net: the test net that is looked at.
  package init(_ tasks: [TaskMetric], net: Int, tests: [Net]) throws {
    let isOneKind = Set(tasks.map { "\($0.layerType) \($0.lowerIsBetter)" }).count == 1
    guard isOneKind, let first = tasks.first else {
      self = try BestMetric("loss", tests: tests)
      return
    }
    text = "the mean of \(tasks.map(\.output).joined(separator: ", "))"
    isBestLowest = first.lowerIsBetter
    isSum = false
    terms = tasks.map { (net, $0.output, 1) }
  }

  /// Without the outputs that no label was there for; NaN when there is none at all.
  ///
  /// - Parameter outputs: of each test net.
  func value(_ outputs: [[OutputValue]]) -> Float {
    let known = terms.compactMap { term -> (factor: Float, value: Float)? in
      let values = outputs[term.net].filter { $0.name == term.output && $0.isKnown }.map(\.value)
      return values.isEmpty ? nil : (term.factor, values.reduce(0, +) / Float(values.count))
    }
    guard !known.isEmpty else { return .nan }
    let sum = known.reduce(0) { $0 + $1.factor * $1.value }
    return isSum ? sum : sum / known.reduce(0) { $0 + $1.factor }
  }

  /// Whether a value beats the best one; what is no number never does.
  func isBetter(_ value: Float, than best: BestScore?) -> Bool {
    guard value.isFinite else { return false }
    guard let best, best.metric == text else { return true }
    return isBestLowest ? value < best.value : value > best.value
  }
}
