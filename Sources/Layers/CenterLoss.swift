import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Half the mean squared distance of features to the centre of their class (Wen, Zhang, Li, Qiao, ECCV 2016).
///
/// Bottoms: features N x K (all axes from `axis` on are joined), labels N. Parameter: the centres, `num_output` x K.
/// `distance_type: "L1"` takes the mean sum of magnitudes. The centres do not follow the loss's gradient, but the paper's
/// rule, whatever the loss's weight: minus the sum of the differences of a class over 1 + its records. Records whose
/// label is NaN count for nothing.
package struct CenterLoss: Layer {
  package static let type = "CenterLoss"
  package static let parameterFields: [String]? = ["center_loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: CenterLossParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.centerLossParam
    try fields.refuse(param.hasClusterNum, "center_loss_param.cluster_num", "give num_output and a loss_weight")
    try fields.refuse(param.hasAlpha, "center_loss_param.alpha", "give lr_mult for the centres")
    try fields.refuse(param.hasLossWeight, "center_loss_param.loss_weight", "give the layer's own loss_weight")
    guard param.numOutput > 0 else {
      throw fields.fault("num_output, the number of classes, must be at least 1", at: "center_loss_param.num_output")
    }
    guard ["L1", "L2"].contains(param.distanceType) else {
      throw fields.fault("distance_type must be L1 or L2", at: "center_loss_param.distance_type")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  private func labels(_ bottoms: [Shape]) throws -> ClassLabels {
    let axis = try bottoms[0].canonicalAxis(Int(param.axis))
    return try ClassLabels(
      fields, scores: [bottoms[0].count(..<axis), Int(param.numOutput)], labels: bottoms[1], axis: 1, ignored: nil)
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    let labels = try labels(bottoms)
    let width = bottoms[0].count / max(1, labels.outer)
    return LayerShapes(
      tops: [.scalar],
      parameters: [.init(name: "centres", shape: [labels.classes, width], filler: param.centerFiller)])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottoms = [binding.bottom(0), binding.bottom(1)]
    binding.backwardReads(bottoms: bottoms)
    let labels = try labels(binding.bottomShapes)
    return Run(
      labels, bottoms[0], bottoms[1], binding.top(0), binding.parameters[0], learns: binding.learns[0],
      isMagnitude: param.distanceType == "L1", counts: binding.scratch(labels.classes * MemoryLayout<Float>.stride))
  }

  private final class Run: LossRun {
    private let labels: ClassLabels
    private let features: Blob
    private let targets: Blob
    private let loss: Blob
    private let centres: Parameter
    private let learns: Bool
    private let isMagnitude: Bool
    private let counts: Region
    private let width: Int
    private(set) var labelledCount = 0

    init(
      _ labels: ClassLabels, _ features: Blob, _ targets: Blob, _ loss: Blob, _ centres: Parameter, learns: Bool,
      isMagnitude: Bool, counts: Region
    ) {
      self.labels = labels
      self.features = features
      self.targets = targets
      self.loss = loss
      self.centres = centres
      self.learns = learns
      self.isMagnitude = isMagnitude
      self.counts = counts
      width = centres.shape[1]
    }

    /// The loss's derivative by a difference.
    private func slope(_ difference: Float) -> Float {
      isMagnitude ? (difference > 0 ? 1 : difference < 0 ? -1 : 0) : difference
    }

    func forward() throws {
      labelledCount = 0
      var sum = 0.0
      for n in 0..<labels.outer {
        guard let label = try labels.label(targets.values, n) else { continue }
        labelledCount += 1
        let (x, c) = (features.values + n * width, centres.values + label * width)
        for i in 0..<width {
          let difference = Double(x[i] - c[i])
          sum += isMagnitude ? abs(difference) : difference * difference / 2
        }
      }
      loss.values[0] = Float(sum / Double(max(1, labelledCount)))
    }

    func backward() throws {
      if learns { try addCentreGradient() }
      guard features.hasGradient else { return }
      let factor = loss.gradients[0] / Float(max(1, labelledCount))
      for n in 0..<labels.outer {
        let (x, dx) = (features.values + n * width, features.gradients + n * width)
        guard let label = try labels.label(targets.values, n) else {
          dx.update(repeating: 0, count: width)
          continue
        }
        let c = centres.values + label * width
        for i in 0..<width { dx[i] = factor * slope(x[i] - c[i]) }
      }
    }

    private func addCentreGradient() throws {
      let records = counts.pointer.assumingMemoryBound(to: Float.self)
      records.update(repeating: 0, count: labels.classes)
      for n in 0..<labels.outer {
        if let label = try labels.label(targets.values, n) { records[label] += 1 }
      }
      try centres.accumulate { sums, isFirst in
        if isFirst { sums.update(repeating: 0, count: centres.count) }
        for n in 0..<labels.outer {
          guard let label = try labels.label(targets.values, n) else { continue }
          let (x, c, sum) = (features.values + n * width, centres.values + label * width, sums + label * width)
          for i in 0..<width { sum[i] -= slope(x[i] - c[i]) / (records[label] + 1) }
        }
      }
    }
  }

  package static let examples: [LayerExample] = [
    // The centres' gradient is not that of the loss: lr_mult 0 keeps them out of the check.
    example("L2", "", "param { lr_mult: 0 } loss_weight: 0.5"),
    example("L1", #"distance_type: "L1""#, "param { lr_mult: 0 }"),
    LayerExample(
      "centres that learn", inputs: [.normal([6, 4]), .labels([6], classes: 3)],
      """
      layer { name: "loss" type: "CenterLoss" bottom: "in0" bottom: "in1" top: "loss"
        center_loss_param { num_output: 3 center_filler { type: "gaussian" std: 1 } } }
      """, checksGradient: false),
  ]

  private static func example(_ name: String, _ param: String, _ more: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([6, 4]), .labels([6], classes: 3)],
      """
      layer { name: "loss" type: "CenterLoss" bottom: "in0" bottom: "in1" top: "loss" \(more)
        center_loss_param { num_output: 3 center_filler { value: 4 } \(param) } }
      """)
  }
}
