import Compute
import Diagnostics
import Nets
import Tensors

/// Lets through the records whose selector (the last bottom, one value for each) is not 0.
///
/// Bottoms: N x … each, then the selector N. A top for each bottom but the selector: M x …, M being the number of records
/// that pass, anew in each pass. Memory is planned for N; layers behind it compute all N rows, of which the last N - M
/// repeat one, and losses and metrics count M. A layer that mixes records (BatchNorm in training, Concat of records, …)
/// is refused there. The selector takes no gradient; the gradient of records that did not pass is 0.
///
/// A fork for pruning has a layer of this name with one bottom, which keeps `num_output` of its channels: its shape alone
/// is known.
package struct Filter: RefusedLayer {
  package static let type = "Filter"
  package static let parameterFields: [String]? = ["filter_param"]
  package static let bottomCount = 1...Int.max
  package static let topCount = 1...Int.max

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    let (bottoms, tops) = (fields.parameter.bottom.count, fields.parameter.top.count)
    guard tops == bottoms - 1 || keepsChannels else {
      throw fields.fault(
        "needs a top for each bottom but the selector: \(bottoms - 1), but \(tops) are given", at: "top[0]")
    }
  }

  /// Whether it is the layer of the fork.
  private var keepsChannels: Bool {
    fields.parameter.bottom.count == 1 && fields.parameter.top.count == 1 && fields.parameter.filterParam.numOutput > 0
  }

  package var refusal: Diagnostic? {
    fields.refusal(
      keepsChannels || fields.parameter.hasFilterParam, "filter_param.num_output",
      "records are let through by a selector; Slice takes channels apart")
  }

  package func takesGradient(bottom index: Int) -> Bool { index < fields.parameter.bottom.count - 1 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    if keepsChannels {
      var top = bottoms[0]
      guard top.rank >= 2, Int(fields.parameter.filterParam.numOutput) <= top[1] else {
        throw fields.fault(
          .badShape, "cannot keep \(fields.parameter.filterParam.numOutput) channels of \(top)",
          at: "filter_param.num_output")
      }
      top[1] = Int(fields.parameter.filterParam.numOutput)
      return LayerShapes(tops: [top])
    }
    let records = bottoms[bottoms.count - 1].extent(0)
    guard bottoms[bottoms.count - 1].count == records else {
      throw fields.fault(
        .badShape, "the selector needs one value for each record, but it is \(bottoms[bottoms.count - 1])")
    }
    if let other = bottoms.first(where: { $0.rank == 0 || $0[0] != records }) {
      throw fields.fault(.badShape, "a bottom \(other) has other records than the selector, which has \(records)")
    }
    return LayerShapes(tops: Array(bottoms.dropLast()), varyingAxis: 0)
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    if let refusal { throw refusal }
    guard let rows = binding.liveRows else { preconditionFailure("the tops of a Filter vary") }
    let bottoms = binding.bottomShapes.indices.map { binding.bottom($0) }
    binding.backwardReads()
    return Run(
      bottoms, tops: binding.topShapes.indices.map { binding.top($0) }, rows,
      passed: binding.workspace(binding.bottomShapes[0].extent(0) * MemoryLayout<Int32>.stride))
  }

  private final class Run: LayerRun {
    private let bottoms: [Blob]
    private let selector: Blob
    private let tops: [Blob]
    private let rows: LiveRows
    /// Which record each row of the tops is (Int32).
    private let passed: Region

    init(_ bottoms: [Blob], tops: [Blob], _ rows: LiveRows, passed: Region) {
      self.bottoms = Array(bottoms.dropLast())
      selector = bottoms[bottoms.count - 1]
      self.tops = tops
      self.rows = rows
      self.passed = passed
    }

    func forward() {
      let record = passed.pointer.assumingMemoryBound(to: Int32.self)
      rows.count = 0
      for index in 0..<selector.liveCount where selector.values[index] != 0 {
        record[rows.count] = Int32(index)
        rows.count += 1
      }
      for (bottom, top) in zip(bottoms, tops) {
        let width = top.shape.count(1...)
        for row in 0..<top.shape[0] {
          // A row left over repeats one that there is, so that no layer makes anything worse of it.
          let source = row < rows.count ? Int(record[row]) : rows.count > 0 ? Int(record[rows.count - 1]) : 0
          (top.values + row * width).update(from: bottom.values + source * width, count: width)
        }
      }
    }

    func backward() {
      let record = passed.pointer.assumingMemoryBound(to: Int32.self)
      for (bottom, top) in zip(bottoms, tops) where bottom.hasGradient {
        bottom.gradients.update(repeating: 0, count: bottom.count)
        guard top.hasGradient else { continue }
        let width = top.shape.count(1...)
        for row in 0..<rows.count {
          (bottom.gradients + Int(record[row]) * width).update(from: top.gradients + row * width, count: width)
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "one blob", inputs: [.normal([6, 3, 2]), .labels([6], classes: 2)],
      #"layer { name: "f" type: "Filter" bottom: "in0" bottom: "in1" top: "f" }"#),
    LayerExample(
      "two blobs", inputs: [.normal([5, 3]), .normal([5, 2, 2]), .labels([5], classes: 2)],
      #"layer { name: "f" type: "Filter" bottom: "in0" bottom: "in1" bottom: "in2" top: "f" top: "g" }"#),
    LayerExample(
      "before a loss", inputs: [.normal([6, 4]), .labels([6], classes: 3), .labels([6, 1, 1, 1], classes: 2)],
      """
      layer { name: "f" type: "Filter" bottom: "in0" bottom: "in1" bottom: "in2" top: "f" top: "g"
        propagate_down: true propagate_down: false propagate_down: false }
      layer { name: "ip" type: "InnerProduct" bottom: "f" top: "ip"
        inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 1 } } }
      layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "g" top: "loss" }
      """),
  ]
}
