import CaffeSchema
import Diagnostics
import Nets

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
    let named = outputs.filter { value($0).name == name }
    let typed = outputs.filter { type($0).lowercased() == name.lowercased() }
    if !named.isEmpty {
      terms = named.map { ($0.net, name, 1 / Float(named.count)) }
      isLoss = named.contains { value($0).lossWeight != 0 }
    } else if name == "loss" {
      let losses = outputs.filter { value($0).lossWeight != 0 }
      terms = losses.map { ($0.net, value($0).name, value($0).lossWeight) }
      isLoss = true
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
    isBestLowest = wantsLowest ?? isLoss
  }

  /// - Parameter outputs: of each test net.
  func value(_ outputs: [[OutputValue]]) -> Float {
    terms.reduce(0) { sum, term in
      let values = outputs[term.net].filter { $0.name == term.output }.map(\.value)
      return sum + term.factor * values.reduce(0, +) / Float(max(1, values.count))
    }
  }

  /// Whether a value beats the best one; what is no number never does.
  func isBetter(_ value: Float, than best: BestScore?) -> Bool {
    guard value.isFinite else { return false }
    guard let best, best.metric == text else { return true }
    return isBestLowest ? value < best.value : value > best.value
  }
}
