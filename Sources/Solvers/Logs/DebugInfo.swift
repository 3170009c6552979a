import Nets
import Tensors

/// The lines of `debug_info`: the mean absolute value of every blob and gradient as it is made, in Caffe's words, at the
/// iterations that are displayed, and in every pass of a test. The [Update] lines are those of Caffe before 2015: what
/// was the weight, and by how much it changes.
///
/// Split layers, which Caffe puts where several layers read a blob, have no lines, since there are none; the gradients of
/// the readers have.
///
/// - Precondition: the nets keep everything, so that each layer has a step and its blobs are there.
struct DebugInfo {
  /// Those that the solver uses now.
  var nets: SolverNets
  private let log: TrainingLog

  /// nil where the solver does not ask for it.
  init?(_ settings: SolverSettings, _ nets: SolverNets, _ log: TrainingLog) {
    guard settings.parameter.debugInfo else { return nil }
    self.nets = nets
    self.log = log
    for test in nets.tests { test.watcher = { [unowned test] in try DebugInfo.tell($0, of: test, log) } }
  }

  /// - Parameter isShown: whether this iteration is displayed.
  func begin(isShown: Bool) {
    let (net, log) = (nets.train, log)
    net.watcher = isShown ? { [unowned net] in try DebugInfo.tell($0, of: net, log) } : nil
  }

  private var isShown: Bool { nets.train.watcher != nil }

  private static func tell(_ step: Step, of net: Net, _ log: TrainingLog) throws {
    guard let layer = step.layer else { return }
    let node = net.graph.nodes[layer]
    let parameters = net.parameterTable.byLayer[layer]
    switch step.kind {
    case .forward:
      for top in step.tops {
        log.debugForward(node.fields.name, top: top.name, mean(try net.values(of: top)))
      }
      for (index, parameter) in parameters.enumerated() {
        log.debugForward(node.fields.name, parameter: name(index, node), mean(values(parameter)))
      }
    case .backward:
      for bottom in step.bottoms where bottom.hasGradient {
        log.debugBackward(node.fields.name, bottom: bottom.name, mean(try net.gradients(of: bottom)))
      }
      for (index, parameter) in parameters.enumerated() where net.graph.learns(parameter: index, of: node) {
        log.debugBackward(node.fields.name, parameter: "\(index)", mean(gradients(parameter)))
      }
    default: break
    }
  }

  /// After a backward pass.
  func tellNorms() {
    guard isShown else { return }
    var (data, diff) = ((l1: 0.0, l2: 0.0), (l1: 0.0, l2: 0.0))
    for entry in nets.train.parameterTable.unique {
      for value in DebugInfo.values(entry.parameter) {
        data.l1 += Double(abs(value))
        data.l2 += Double(value) * Double(value)
      }
      for value in DebugInfo.gradients(entry.parameter) {
        diff.l1 += Double(abs(value))
        diff.l2 += Double(value) * Double(value)
      }
    }
    log.debugNorms(l1: (data.l1, diff.l1), l2: (data.l2.squareRoot(), diff.l2.squareRoot()))
  }

  /// Lets the solver change the parameters, and tells by how much it did.
  func update(_ apply: () -> Void) {
    guard isShown else { return apply() }
    let entries = nets.train.parameterTable.unique
    let before = entries.map { Array(DebugInfo.values($0.parameter)) }
    apply()
    for (entry, old) in zip(entries, before) where entry.parameter.isLearned {
      let change = zip(old, DebugInfo.values(entry.parameter)).map { $0 - $1 }
      let name = DebugInfo.name(entry.index, nets.train.graph.nodes[entry.layer])
      log.debugUpdate(entry.layerName, name, data: DebugInfo.mean(old), diff: DebugInfo.mean(change))
    }
  }

  /// What the net calls a parameter, or its position.
  private static func name(_ index: Int, _ node: Graph.Node) -> String {
    let specs = node.fields.parameter.param
    return index < specs.count && !specs[index].name.isEmpty ? specs[index].name : "\(index)"
  }

  private static func values(_ parameter: Parameter) -> UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(start: parameter.values, count: parameter.count)
  }

  private static func gradients(_ parameter: Parameter) -> UnsafeBufferPointer<Float> {
    UnsafeBufferPointer(start: parameter.settledGradients(), count: parameter.count)
  }

  private static func mean(_ values: some Collection<Float>) -> Float {
    Float(values.reduce(0.0) { $0 + Double(abs($1)) } / Double(max(1, values.count)))
  }
}
