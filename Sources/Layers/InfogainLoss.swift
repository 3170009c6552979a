import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// The information gain loss of the softmax of the scores: -(sum over the classes l of H[label, l] ln probability[l]).
/// With the identity for H it is SoftmaxWithLoss.
///
/// Bottoms: scores N x C x (positions) along `axis`, labels N x (positions), optionally H (C x C); otherwise `source`
/// names a .binaryproto with H. Tops: the loss; optionally the probabilities. Division and missing labels are as for
/// SoftmaxWithLoss. Labels and H take no gradient.
package struct InfogainLoss: NormalizedLoss {
  package static let type = "InfogainLoss"
  package static let parameterFields: [String]? = ["infogain_loss_param", "loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...3
  package static let topCount = 1...2

  private let fields: LayerFields
  private let param: InfogainLossParameter
  private let normalization: LossNormalization

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.infogainLossParam
    normalization = try LossNormalization(fields, default: .valid)
    guard fields.parameter.bottom.count < 3 || !param.hasSource else {
      throw fields.fault("the matrix is given twice, as a third bottom and as source", at: "infogain_loss_param.source")
    }
    guard fields.parameter.bottom.count == 3 || param.hasSource else {
      throw fields.fault(
        "the matrix is missing; give it as a third bottom or as source, a .binaryproto", at: "infogain_loss_param")
    }
  }

  package var normalizationMode: LossParameter.NormalizationMode { normalization.mode }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  private func labels(_ bottoms: [Shape]) throws -> ClassLabels {
    let loss = fields.parameter.lossParam
    return try ClassLabels(
      fields, scores: bottoms[0], labels: bottoms[1], axis: Int(param.axis),
      ignored: loss.hasIgnoreLabel ? Int(loss.ignoreLabel) : nil)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let classes = try labels(bottoms).classes
    if bottoms.count == 3, bottoms[2].count != classes * classes {
      throw fields.fault(
        .badShape, "the matrix must be \(classes)x\(classes), but it is \(bottoms[2])", at: "bottom[2]")
    }
    return LayerShapes(tops: fields.parameter.top.count > 1 ? [.scalar, bottoms[0]] : [.scalar])
  }

  /// - Throws: `unreadableFile` or `badParameter`.
  private func readMatrix(classes: Int) throws -> [Float] {
    let places = fields.paths.candidates(for: param.source)
    var fault: (any Error)?
    for path in places {
      do {
        let values = try readBinary(path, as: BlobProto.self).values
        guard values.count == classes * classes else {
          throw fields.fault(
            "'\(path)' holds \(values.count) values; the matrix for \(classes) classes has \(classes * classes)",
            at: "infogain_loss_param.source")
        }
        return values
      } catch {
        fault = fault ?? error
      }
    }
    throw fault ?? fields.fault("the matrix cannot be read", at: "infogain_loss_param.source")
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? {
    axis == 0 && param.axis != 0 ? RowwiseBlobs(bottoms: [0, 1], tops: [1]) : nil
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let labels = try labels(binding.bottomShapes)
    let op = try binding.engine.softmax(
      SoftmaxDescription(outer: labels.outer, channels: labels.classes, inner: labels.inner))
    let bottoms = binding.bottomShapes.indices.map { binding.bottom($0) }
    let loss = binding.top(0)
    let probabilities = binding.topShapes.count > 1 ? binding.top(1) : nil
    binding.backwardReads(bottoms: Array(bottoms.dropFirst()), tops: probabilities.map { [$0] } ?? [])
    let bytes = bottoms[0].count * MemoryLayout<Float>.stride
    return Run(
      op, labels.of(bottoms[0]), bottoms, loss, probabilities: probabilities?.dataRegion ?? binding.workspace(bytes),
      matrix: bottoms.count == 3 ? [] : try readMatrix(classes: labels.classes),
      normalization: normalization)
  }

  private final class Run: LossRun {
    private let op: any SoftmaxOp
    private let labels: ClassLabels
    private let bottoms: [Blob]
    private let loss: Blob
    private let probabilities: Region
    /// Empty when the matrix is a bottom.
    private let matrix: [Float]
    private let normalization: LossNormalization
    private var counts = LabelCounts()
    var labelledCount: Int { counts.labelled }

    init(
      _ op: any SoftmaxOp, _ labels: ClassLabels, _ bottoms: [Blob], _ loss: Blob, probabilities: Region,
      matrix: [Float], normalization: LossNormalization
    ) {
      self.op = op
      self.labels = labels
      self.bottoms = bottoms
      self.loss = loss
      self.probabilities = probabilities
      self.matrix = matrix
      self.normalization = normalization
    }

    private var normalizer: Float { normalization.divisor(counts, positions: labels.inner) }

    private func withMatrix(_ body: (UnsafePointer<Float>) throws -> Void) rethrows {
      if bottoms.count == 3 { return try body(bottoms[2].values) }
      try matrix.withUnsafeBufferPointer { if let base = $0.baseAddress { try body(base) } }
    }

    func forward() throws {
      let p = probabilities.pointer.assumingMemoryBound(to: Float.self)
      op.forward(bottom: bottoms[0].values, top: p)
      let (classes, inner) = (labels.classes, labels.inner)
      var sum = 0.0
      var labelled = 0
      try withMatrix { gains in
        for position in 0..<(labels.outer * inner) {
          guard let label = try labels.label(bottoms[1].values, position) else { continue }
          labelled += 1
          let start = position / inner * classes * inner + position % inner
          for l in 0..<classes {
            sum -= Double(gains[label * classes + l]) * Double(logf(ClassLabels.bounded(p[start + l * inner])))
          }
        }
      }
      counts = labels.counts(bottoms[1].values, labelled: labelled)
      loss.values[0] = Float(sum) / normalizer
    }

    /// probability[l] (sum of row `label` of H) - H[label, l], times the loss's gradient over the normaliser.
    func backward() throws {
      let p = probabilities.pointer.assumingMemoryBound(to: Float.self)
      let dx = bottoms[0].gradients
      let factor = loss.hasGradient ? loss.gradients[0] / normalizer : 0
      let (classes, inner) = (labels.classes, labels.inner)
      try withMatrix { gains in
        for position in 0..<(labels.outer * inner) {
          let start = position / inner * classes * inner + position % inner
          guard let label = try labels.label(bottoms[1].values, position) else {
            for l in 0..<classes { dx[start + l * inner] = 0 }
            continue
          }
          var sum: Float = 0
          for l in 0..<classes { sum += gains[label * classes + l] }
          for l in 0..<classes {
            let at = start + l * inner
            dx[at] = factor * (p[at] * sum - gains[label * classes + l])
          }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("classes", [.normal([4, 5]), .labels([4], classes: 5), .uniform([1, 1, 5, 5], 0...1)], ""),
    example(
      "positions, ignoring a class",
      [.normal([2, 3, 2, 2]), .labels([2, 2, 2], classes: 3), .uniform([3, 3], 0...1)],
      "loss_param { ignore_label: 1 normalization: FULL }"),
  ]

  private static func example(_ name: String, _ inputs: [LayerExample.Input], _ fields: String) -> LayerExample {
    LayerExample(
      name, inputs: inputs,
      """
      layer { name: "loss" type: "InfogainLoss" bottom: "in0" bottom: "in1" bottom: "in2" top: "loss" \(fields) }
      """)
  }
}
