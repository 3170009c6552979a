import Nets
import Solvers
import Tasks
import Tensors

/// A net's steps as text, in the order in which they run.
struct StepTable {
  let net: Net

  /// Steps are counted from 1, backward after forward. Reads and writes are the bytes of the regions that a step names;
  /// what it writes includes its scratch.
  var text: String {
    var table = TextTable([
      ("step", true), ("kind", false), ("layer or blob", false), ("type", false), ("kernel", false),
      ("bottoms", false), ("tops", false), ("reads", true), ("writes", true),
    ])
    for (index, step) in (net.forwardSteps + net.backwardSteps).enumerated() {
      table.add([
        String(index + 1), step.kind.rawValue, step.name, step.layerTypes(in: net) ?? "-",
        step.implementation ?? "-", StepTable.counted(step.bottoms.map(\.layout.name)),
        StepTable.counted(step.tops.map { "\($0.shape) \($0.layout.name)" }) + step.sharingNote,
        byteText(step.reads.map(\.byteCount).reduce(0, +)), byteText(step.writes.map(\.byteCount).reduce(0, +)),
      ])
    }
    return table.text
  }

  /// How many steps of each kind there are, and what the reorders move in one pass.
  var summary: String {
    let steps = net.forwardSteps + net.backwardSteps
    var counts: [String] = []
    for kind in Step.Kind.allCases {
      let count = steps.filter { $0.kind == kind }.count
      if count > 0 { counts.append("\(count) \(kind.rawValue)") }
    }
    let reorders = steps.filter { $0.kind == .reorder || $0.kind == .reorderBack }
    let moved = reorders.reduce(0) { $0 + $1.byteCount }
    return "\(steps.count) steps: " + counts.joined(separator: ", ")
      + (reorders.isEmpty ? "" : "; reorders read and write \(byteText(moved))")
  }

  /// Equal neighbours are told once: `4 x nChw16c, plain`.
  static func counted(_ names: [String]) -> String {
    var groups: [(name: String, count: Int)] = []
    for name in names {
      if groups.last?.name == name { groups[groups.count - 1].count += 1 } else { groups.append((name, 1)) }
    }
    return groups.isEmpty
      ? "-" : groups.map { $0.count > 1 ? "\($0.count) x \($0.name)" : $0.name }.joined(separator: ", ")
  }
}

extension Step {
  /// The type of the layer that it runs, with those of layers whose work it does too: `BatchNorm+Scale+ReLU`,
  /// `5 x InnerProduct`; nil between layers.
  func layerTypes(in net: Net) -> String? {
    guard kind == .forward || kind == .backward, let layer else { return nil }
    let types = ([layer] + absorbed).map { net.graph.nodes[$0].fields.parameter.type }
    if types.count > 1, types.allSatisfy({ $0 == types[0] }) { return "\(types.count) x \(types[0])" }
    return types.joined(separator: "+")
  }

  /// Whether what it writes lies where it reads.
  fileprivate var sharingNote: String {
    if kind == .forward, isView { return " (view)" }
    let read = reads.filter { $0.byteCount > 0 }.map { ObjectIdentifier($0.root) }
    let isShared = writes.contains { $0.byteCount > 0 && read.contains(ObjectIdentifier($0.root)) }
    return isShared ? " (in place)" : ""
  }
}

/// A size for people: `96 B`, `12.5 KiB`, `1340.0 MiB`.
func byteText(_ count: Int) -> String {
  if count < 1 << 10 { return "\(count) B" }
  let (unit, name) = count < 1 << 20 ? (Double(1 << 10), "KiB") : (Double(1 << 20), "MiB")
  return "\(fixedText(Double(count) / unit, decimals: 1)) \(name)"
}
