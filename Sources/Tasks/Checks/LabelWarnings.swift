import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Looks up which labels a data layer's source holds.
package struct LabelLookup: Sendable {
  package struct Labels: Sendable {
    /// The smallest and the largest of each channel; nil for one that no record has a label of.
    package let ranges: [ClosedRange<Float>?]
    /// Whether all records were looked at, not a sample.
    package let isWhole: Bool

    package init(ranges: [ClosedRange<Float>?], isWhole: Bool) {
      self.ranges = ranges
      self.isWhole = isWhole
    }
  }

  /// The labels that a layer reads as its top `top`; nil when they are not there to be read.
  package let labels: @Sendable (_ layer: any Layer, _ top: Int) -> Labels?

  package init(labels: @escaping @Sendable (_ layer: any Layer, _ top: Int) -> Labels?) { self.labels = labels }

  package static let none = LabelLookup { _, _ in nil }
}

/// Compares the labels in the data with the classes that losses and metrics know.
struct LabelWarnings {
  private let graph: Graph
  private let lookup: LabelLookup

  init(_ graph: Graph, _ lookup: LabelLookup) {
    self.graph = graph
    self.lookup = lookup
  }

  private static let classifiers: Set<String> = [
    "SoftmaxWithLoss", "Accuracy", "MultinomialLogisticLoss", "InfogainLoss", "HingeLoss", "FocalLoss",
    "SoftmaxWithLossOHEM",
  ]

  var all: [Diagnostic] {
    var seen: Set<[Int]> = []
    return graph.nodes.compactMap { node in
      guard LabelWarnings.classifiers.contains(node.fields.parameter.type), node.bottoms.count >= 2,
        // A loss and a metric on the same bottoms have the same fault.
        seen.insert(Array(node.bottoms.prefix(2))).inserted, let (range, isWhole) = range(of: node.bottoms[1])
      else { return nil }
      return warning(node, classes: graph.values[node.bottoms[0]].shape.extent(1), range, isWhole: isWhole)
    }
  }

  private func warning(_ node: Graph.Node, classes: Int, _ range: ClosedRange<Float>?, isWhole: Bool) -> Diagnostic? {
    guard let range else {
      guard isWhole else { return nil }
      return Diagnostic(
        .badParameter, "no record has a label of this task: nothing is learned, and nothing measured",
        severity: .warning,
        layer: node.fields.identity, at: node.fields.location("bottom[1]"))
    }
    let (least, most) = (LabelWarnings.whole(range.lowerBound), LabelWarnings.whole(range.upperBound))
    let parameter = node.fields.parameter
    let isAccuracy = parameter.type == "Accuracy"
    let loss = parameter.lossParam
    let ignored: Int? =
      isAccuracy
      ? parameter.accuracyParam.hasIgnoreLabel ? Int(parameter.accuracyParam.ignoreLabel) : nil
      : loss.hasIgnoreLabel ? Int(loss.ignoreLabel) : nil
    let message: String
    if least < 0, least != ignored {
      message =
        "labels go down to \(least), and classes are numbered from 0: mark a record without a label by NaN, or give "
        + "\(isAccuracy ? "accuracy_param" : "loss_param") { ignore_label: \(least) }"
    } else if most >= classes, most != ignored {
      message =
        least >= 1 && most == classes
        ? "labels run from \(least) to \(most), and the \(classes) classes are numbered from 0: subtract 1 from the "
          + "labels, or give the scores \(classes + 1) channels"
        : "labels go up to \(most), but there are \(classes) classes, 0 to \(classes - 1)"
    } else if isWhole, least == 1, most == classes - 1 {
      message = "label 0 does not occur: if labels start at 1, one of the \(classes) classes is never learned"
    } else {
      return nil
    }
    return Diagnostic(
      .badParameter, message, severity: .warning, layer: node.fields.identity, at: node.fields.location("bottom[1]"))
  }

  /// Labels that are no whole numbers are cut to one, those that are out of reach to the farthest.
  private static func whole(_ label: Float) -> Int { Int(min(max(label, -0x1p30), 0x1p30)) }

  /// The labels that a value holds, followed back through Slice layers and reshapings to where they are read.
  private func range(of value: Int) -> (ClosedRange<Float>?, isWhole: Bool)? {
    var value = value
    var channel = 0
    while true {
      let made = graph.values[value]
      let node = graph.nodes[made.producer]
      if node.bottoms.isEmpty {
        // What is read as values may be changed on the way.
        let transform = node.fields.parameter.transformParam
        let isChanged =
          (transform.hasScale && transform.scale != 1) || transform.hasMeanFile || !transform.meanValue.isEmpty
        guard made.top > 0 || !isChanged, let labels = lookup.labels(node.definition, made.top),
          labels.ranges.indices.contains(channel)
        else {
          return nil
        }
        return (labels.ranges[channel], labels.isWhole)
      }
      switch node.fields.parameter.type {
      case "Slice":
        channel += node.tops.prefix(made.top).map { graph.values[$0].shape.extent(1) }.reduce(0, +)
      case "Split", "Flatten", "Reshape":
        break
      default:
        return nil
      }
      value = node.bottoms[0]
    }
  }
}
