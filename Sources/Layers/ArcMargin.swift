import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// The additive angular margin of ArcFace (Deng, Guo, Xue, Zafeiriou, CVPR 2019; xialuxi's fork of Caffe): of the labelled
/// class, the cosine cos t becomes cos(t + `m`).
///
/// Bottoms: cosines N x C (further axes are joined to C), labels N. Top as the cosines. Where t + m is more than pi, it is
/// cos t - m sin m, so that it goes on falling. Records whose label is NaN stay as they are. A Scale layer behind it
/// brings the cosines to the size that a softmax needs.
package struct CosinAddm: Layer {
  package static let type = "CosinAddm"
  package static let parameterFields: [String]? = ["cosin_add_m_param"]
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let margin: Float

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    margin = fields.parameter.cosinAddMParam.m
    guard margin >= 0, margin < .pi else {
      throw fields.fault("m, an angle, must be at least 0 and below pi", at: "cosin_add_m_param.m")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    _ = try ClassLabels(fields, ofRecords: bottoms)
    return LayerShapes(tops: [bottoms[0]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let (m, sine, cosine) = (margin, sinf(margin), cosf(margin))
    return ArcMarginRun(binding, try ClassLabels(fields, ofRecords: binding.bottomShapes)) { c, sinT in
      // Beyond pi - m.
      if c <= -cosine { return (c - sine * m, 1) }
      return (c * cosine - sinT * sine, sinT > 0 ? cosine + sine * c / sinT : 1)
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "half a radian", inputs: [.uniform([5, 4], -0.7...0.8), .labels([5], classes: 4)],
      #"layer { name: "a" type: "CosinAddm" bottom: "in0" bottom: "in1" top: "a" cosin_add_m_param { m: 0.5 } }"#),
    LayerExample(
      "beyond pi", inputs: [.uniform([5, 4], -0.99 ... -0.9), .labels([5], classes: 4)],
      #"layer { name: "a" type: "CosinAddm" bottom: "in0" bottom: "in1" top: "a" cosin_add_m_param { m: 0.6 } }"#),
  ]
}

/// The combined margin of ArcFace (Deng, Guo, Xue, Zafeiriou, CVPR 2019; xialuxi's fork of Caffe): of the labelled class,
/// the cosine cos t becomes cos(`m1` t + `m2`) - `m3`; all three are to be given.
///
/// Bottoms: cosines N x C (further axes are joined to C), labels N. Top as the cosines. Records whose label is NaN stay as
/// they are.
package struct CombinedMargin: Layer {
  package static let type = "CombinedMargin"
  package static let parameterFields: [String]? = ["combined_margin_param"]
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: CombinedMarginParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.combinedMarginParam
    guard param.hasM1, param.hasM2, param.hasM3 else {
      throw fields.fault("m1, m2 and m3 must be given: cos(m1 t + m2) - m3", at: "combined_margin_param")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    _ = try ClassLabels(fields, ofRecords: bottoms)
    return LayerShapes(tops: [bottoms[0]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let param = param
    return ArcMarginRun(binding, try ClassLabels(fields, ofRecords: binding.bottomShapes)) { c, sinT in
      let angle = param.m1 * acosf(min(max(c, -1), 1)) + param.m2
      return (cosf(angle) - param.m3, sinT > 0 ? param.m1 * sinf(angle) / sinT : 1)
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "all three", inputs: [.uniform([5, 4], -0.7...0.8), .labels([5], classes: 4)],
      """
      layer { name: "a" type: "CombinedMargin" bottom: "in0" bottom: "in1" top: "a"
        combined_margin_param { m1: 0.9 m2: 0.4 m3: 0.15 } }
      """)
  ]
}

/// A function of the labelled cosine, the others as they are.
private final class ArcMarginRun: LayerRun {
  private let labels: ClassLabels
  private let cosines: Blob
  private let targets: Blob
  private let top: Blob
  /// The value at cos t and sin t, and its slope by cos t.
  private let margin: (_ cosT: Float, _ sinT: Float) -> (value: Float, slope: Float)

  init(
    _ binding: LayerBinding, _ labels: ClassLabels,
    _ margin: @escaping (_ cosT: Float, _ sinT: Float) -> (value: Float, slope: Float)
  ) {
    cosines = binding.bottom(0)
    targets = binding.bottom(1)
    top = binding.top(0)
    self.labels = labels.of(cosines)
    self.margin = margin
    binding.backwardReads(bottoms: [cosines, targets])
  }

  /// Rounding may bring a cosine beyond 1.
  private func margin(at place: Int) -> (value: Float, slope: Float) {
    let c = cosines.values[place]
    return margin(min(c, 1), max(0, 1 - c * c).squareRoot())
  }

  func forward() throws {
    top.values.update(from: cosines.values, count: top.count)
    for n in 0..<labels.outer {
      guard let label = try labels.label(targets.values, n) else { continue }
      top.values[n * labels.classes + label] = margin(at: n * labels.classes + label).value
    }
  }

  func backward() throws {
    guard cosines.hasGradient else { return }
    cosines.gradients.update(from: top.gradients, count: top.count)
    for n in 0..<labels.outer {
      guard let label = try labels.label(targets.values, n) else { continue }
      let place = n * labels.classes + label
      cosines.gradients[place] *= margin(at: place).slope
    }
  }
}
