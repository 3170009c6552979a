import CaffeSchema
import Diagnostics
import Nets
import Tasks
import Testing

@Suite struct NetWarningTests {
  private static let softmax =
    #"layer { name: "a" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "a" loss_weight: 0.5 }"#
  private static let quiet = #"layer { name: "q" type: "Silence" bottom: "bits" }"#

  static let warnings: [(net: String, phase: Phase, message: String)] = [
    (
      softmax + #"layer { name: "b" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "b" }"# + quiet, .train,
      "the loss weights of the 2 tasks sum to 1.5"
    ),
    (
      softmax
        + #"layer { name: "b" type: "SigmoidCrossEntropyLoss" bottom: "ip" bottom: "bits" top: "b" loss_weight: 0.5 }"#,
      .train, "is a sum over the 10 values of a record"
    ),
    (
      softmax + quiet + #"layer { name: "n" type: "BatchNorm" bottom: "ip" top: "n" param { lr_mult: 1 } }"#
        + #"layer { name: "c" type: "SoftmaxWithLoss" bottom: "n" bottom: "label" top: "c" loss_weight: 0.5 }"#,
      .train, "running statistics, which no solver may change"
    ),
    (
      #"layer { name: "n" type: "BatchNorm" bottom: "ip" top: "n" batch_norm_param { use_global_stats: false } }"#,
      .test,
      "use_global_stats: false in TEST"
    ),
    (softmax, .train, "nobody reads top 'bits'"),
    (
      softmax + quiet + #"layer { name: "r" type: "ReLU" bottom: "ip" top: "r" }"#
        + #"layer { name: "lost" type: "Sigmoid" bottom: "r" top: "lost" }"#, .train,
      "nobody reads top 'lost', and no loss depends on this layer; 2 layers work for it alone: 'r', 'lost'"
    ),
    (
      softmax + quiet + #"layer { name: "g" type: "Debug" bottom: "ip" top: "g" }"#
        + #"layer { name: "s" type: "Silence" bottom: "g" }"#, .train, "cannot run here: it keeps blobs"
    ),
  ]

  @Test(arguments: warnings)
  func warns(_ net: String, _ phase: Phase, _ message: String) throws {
    let check = try NetCheckTests.check(NetCheckTests.data + NetCheckTests.head + net, phase)
    #expect(check.faults.isEmpty, "\(check.faults)")
    let found = check.warnings.filter { $0.message.contains(message) }
    #expect(found.count == 1, "\(check.warnings)")
    #expect(check.warnings.allSatisfy { $0.severity == .warning })
  }

  @Test func saysNothingOfAGoodNet() throws {
    let check = try NetCheckTests.check(
      NetCheckTests.data + NetCheckTests.head + Self.softmax + """
        layer { name: "n" type: "BatchNorm" bottom: "ip" top: "n"
          param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 } }
        layer { name: "b" type: "SigmoidCrossEntropyLoss" bottom: "n" bottom: "bits" top: "b" loss_weight: 0.5
          loss_param { normalization: FULL } }
        layer { name: "m" type: "Accuracy" bottom: "ip" bottom: "label" top: "right" include { phase: TRAIN } }
        """)
    #expect(check.faults.isEmpty)
    #expect(check.warnings.isEmpty, "\(check.warnings)")
  }

  // MARK: Labels

  static let labels: [(range: ClosedRange<Float>, isWhole: Bool, message: String?)] = [
    (0...9, true, nil), (0...10, true, "labels go up to 10, but there are 10 classes"),
    (1...10, false, "labels run from 1 to 10, and the 10 classes are numbered from 0"),
    (1...9, true, "label 0 does not occur"), (1...9, false, nil),
    (-1...9, false, "labels go down to -1"), (0...3e38, true, "labels go up to 1073741824"),
  ]

  @Test(arguments: labels)
  func comparesLabelsWithClasses(_ range: ClosedRange<Float>, _ isWhole: Bool, _ message: String?) throws {
    let lookup = LabelLookup { layer, top in
      type(of: layer).type == "Input" && top == 0
        ? LabelLookup.Labels(ranges: [0...0, range], isWhole: isWhole) : nil
    }
    let check = try NetCheckTests.check(
      """
      layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 } } }
      layer { name: "labels" type: "Input" top: "labels" input_param { shape { dim: 4 dim: 2 } } }
      layer { name: "cut" type: "Slice" bottom: "labels" top: "first" top: "second" }
      \(NetCheckTests.head)
      layer { name: "a" type: "SoftmaxWithLoss" bottom: "ip" bottom: "second" top: "a" }
      layer { name: "m" type: "Accuracy" bottom: "ip" bottom: "second" top: "m" }
      layer { name: "q" type: "Silence" bottom: "first" }
      """, labels: lookup)
    let found = check.warnings.filter { $0.message.contains("label") }
    #expect(found.count == (message == nil ? 0 : 1), "\(found)")
    if let message { #expect(found.first?.message.contains(message) == true, "\(found)") }
  }
}
