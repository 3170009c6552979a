import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// How well distances tell whether two records are of one identity, as on Labeled Faces in the Wild (Huang, Ramesh, Berg,
/// Learned-Miller, 2007).
///
/// Bottoms: features N x C and labels N, records 2i and 2i + 1 being a pair, as a Data layer with a `sampler` makes them;
/// or two times features N x C and N values that are not 0 for pairs of one identity; or two times features and the labels
/// of either side. Pairs with a NaN label do not count.
/// Tops: the accuracy; the share of pairs of one identity that are found when at most `false_accept_rate` of the others
/// are taken for one, a top for each rate; optionally the standard error of the accuracy over the folds. All are of the
/// whole test, not means over its batches.
///
/// The pairs are cut in their order into `folds` parts. In each the pairs nearer than a threshold are taken for one
/// identity, the threshold being the best one of the other parts; the accuracy is the mean over the parts. `distance` is
/// EUCLIDEAN or COSINE (1 - the cosine). With `mtl test --plots` the layer draws its ROC curve.
package struct VerificationAccuracy: Layer {
  package static let type = "VerificationAccuracy"
  package static let parameterFields: [String]? = ["verification_accuracy_param"]
  package static let role = LayerRole.metric
  package static let bottomCount = 2...4
  package static let topCount = 1...Int.max

  private let fields: LayerFields
  private let param: VerificationAccuracyParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.verificationAccuracyParam
    guard param.folds >= 2 else {
      throw fields.fault("folds must be at least 2", at: "verification_accuracy_param.folds")
    }
    let rates = param.falseAcceptRate
    for (index, rate) in rates.enumerated() where !(0...1).contains(rate) {
      throw fields.fault(
        "a rate is from 0 to 1, not \(rate)", at: "verification_accuracy_param.false_accept_rate[\(index)]")
    }
    let tops = fields.parameter.top.count
    guard tops == 1 + rates.count || tops == 2 + rates.count else {
      throw fields.fault(
        "has \(tops) tops, but needs 1 for the accuracy, \(rates.count) for false_accept_rate, and takes 1 more for the "
          + "standard error", at: "top[0]")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { false }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    _ = try LabelledPairs(fields, bottoms)
    return LayerShapes(tops: fields.parameter.top.map { _ in .scalar })
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let pairs = try LabelledPairs(fields, binding.bottomShapes).of(
      binding.bottomShapes.indices.map { binding.bottom($0) })
    return GatheringRun(
      Metric(pairs: pairs, param: param, tops: binding.topShapes.count),
      binding.topShapes.indices.map { binding.top($0) })
  }

  private struct Metric: GatheringMetric {
    let pairs: LabelledPairs
    let param: VerificationAccuracyParameter
    let tops: Int

    /// The distance, and 1 for one identity, 0 for two, NaN where it is not known.
    var width: Int { 2 }

    func gather(into rows: GatheredRows) {
      pairs.forEach { a, b, isAlike in
        let distance =
          switch param.distance {
          case .euclidean: pairs.squaredDistance(a, b).squareRoot()
          case .cosine: 1 - pairs.cosine(a, b)
          }
        rows.append([distance, isAlike.map { $0 ? 1 : 0 } ?? .nan])
      }
    }

    private func scores(_ rows: GatheredRows) -> VerificationScores {
      VerificationScores(
        (0..<rows.count).compactMap { row -> (distance: Float, isAlike: Bool)? in
          let values = Array(rows[row])
          return values[1].isNaN ? nil : (values[0], values[1] == 1)
        })
    }

    func labelledCount(in rows: GatheredRows) -> Int {
      (0..<rows.count).count { !(rows[$0].last ?? .nan).isNaN }
    }

    func values(over rows: GatheredRows) -> [[Float]] {
      let scores = scores(rows)
      let accuracy = scores.accuracy(folds: Int(param.folds))
      let values = [accuracy.mean] + param.falseAcceptRate.map(scores.trueAcceptRate) + [accuracy.standardError]
      return values.prefix(tops).map { [$0] }
    }

    func curves(over rows: GatheredRows) -> [MetricCurve] {
      [
        MetricCurve(
          "roc", title: "ROC", x: .init("false accept rate"), y: .init("true accept rate"),
          points: scores(rows).rocCorners)
      ]
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "pairs of a batch", inputs: [.normal([8, 3]), .labels([8], classes: 2)],
      """
      layer { name: "v" type: "VerificationAccuracy" bottom: "in0" bottom: "in1" top: "v" top: "TAR" top: "error"
        verification_accuracy_param { folds: 2 false_accept_rate: 0.4 } }
      """, phase: .test, checksGradient: false),
    LayerExample(
      "two sides", inputs: [.normal([9, 3]), .normal([9, 3]), .labels([9], classes: 2)],
      """
      layer { name: "v" type: "VerificationAccuracy" bottom: "in0" bottom: "in1" bottom: "in2" top: "v"
        verification_accuracy_param { distance: COSINE } }
      """, phase: .test, checksGradient: false),
  ]
}
