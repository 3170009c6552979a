import Diagnostics
import Layers
import Nets
import Tensors
import Testing

/// Bottoms without values, and bottoms of no numbers, for every layer and option that its examples show.
@Suite struct ExtremeInputTests {
  typealias Case = SweepTests.Case

  /// Layers, or examples of them, whose tops are numbers though their bottoms are not, as in Caffe: those that compare, for no
  /// comparison holds, and those that do not look at the values.
  static let comparing: Set<String> = [
    "ArgMax", "DetectionOutput", "Dropout, nothing is left", "MultiBoxFocalLoss, matched as predicted",
    "MultiBoxLoss, matched as predicted", "Power, power 0", "Power, scale 0", "PriorBox", "Python",
    "ROIAlign", "Threshold", "YoloDetectionOutput", "Yolov3DetectionOutput",
  ]

  /// An axis without extent, here or there: computed to nothing, or refused.
  @Test(arguments: SweepTests.cases)
  func emptyAxes(_ test: Case) throws {
    for (index, input) in test.example.inputs.enumerated() {
      for axis in input.shape.dims.indices {
        for isShared in [false, true] {
          let example = test.example.emptied(axis: axis, ofInput: index, isShared: isShared)
          do {
            let net = try SweepNet(example, engine: SweepTests.engine(test.engine))
            try net.draw(seed: 4)
            try net.forward()
            try net.backward()
          } catch is Diagnostic {}
        }
      }
    }
  }

  /// What is no number stays none: a net that has gone astray shows it.
  @Test(
    arguments: SweepTests.cases.filter { test in
      layerTypes.contains { $0.type == test.type && $0.role != .metric } && !comparing.contains(test.type)
        && !comparing.contains("\(test.type), \(test.example.name)")
    })
  func noNumbersStayNone(_ test: Case) throws {
    guard let first = test.example.inputs.first else { return }
    if case .labels = first { return }
    let net = try SweepNet(test.example, engine: SweepTests.engine(test.engine))
    try net.draw(seed: 5)
    net.fillInput(0) { _ in .nan }
    do {
      try net.forward()
      let top = try net.firstTop()
      let isShown = top.contains { $0.isNaN }
      #expect(isShown, "\(top)")
    } catch is Diagnostic {}
  }
}

extension LayerExample {
  /// The same with extent 0 along an axis of an input, and where it is shared, along that axis of all inputs that are as
  /// long there.
  fileprivate func emptied(axis: Int, ofInput index: Int, isShared: Bool) -> LayerExample {
    let old = inputs[index].shape.dims[axis]
    var copy = self
    copy.inputs = inputs.enumerated().map { place, input in
      var shape = input.shape
      guard place == index || isShared, shape.rank > axis, shape.dims[axis] == old else { return input }
      shape[axis] = 0
      return switch input {
      case .normal: .normal(shape)
      case .normalAway(_, let from): .normalAway(shape, from: from)
      case .uniform(_, let range): .uniform(shape, range)
      case .labels(_, let classes): .labels(shape, classes: classes)
      case .distinct: .distinct(shape)
      }
    }
    return copy
  }
}
