import Compute
import Diagnostics
import Nets
import Tensors

/// The sum of |a - b| over N, the batch. Both bottoms take a gradient, 0 where they are equal.
///
/// A NaN in the second bottom means 'not labelled' and counts for nothing; N then counts the records that have a label.
package struct L1Loss: Layer {
  package static let type = "L1Loss"
  package static let parameterFields: [String]? = []
  package static let role = LayerRole.loss
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields

  package init(_ fields: LayerFields) throws { self.fields = fields }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].extent(0) == bottoms[1].extent(0), bottoms[0].count == bottoms[1].count else {
      throw fields.fault(.badShape, "the bottoms must have as many records and values: \(bottoms[0]) and \(bottoms[1])")
    }
    return LayerShapes(tops: [.scalar])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .counted : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    DistanceRun(binding, cost: { abs($0) }, slope: { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 })
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two blobs", inputs: [.uniform([3, 4], 0...1), .uniform([3, 4], 2...3)],
      #"layer { name: "loss" type: "L1Loss" bottom: "in0" bottom: "in1" top: "loss" }"#)
  ]
}

/// A loss that adds up a cost of the differences of two bottoms, weighted by a third and fourth where they are given:
/// sum of outer * cost(inner * (a - b)) over the labelled records, or over what `normalization` says.
final class DistanceRun: LossRun {
  private let bottoms: [Blob]
  private let loss: Blob
  /// Takes the cost of each position, summed over the channels: N x 1 x (positions).
  private let costs: Blob?
  private let cost: (Float) -> Float
  private let slope: (Float) -> Float
  private let normalization: LossNormalization?
  /// Values and positions of a record.
  private let width: Int
  private let positions: Int
  private var counts = LabelCounts()
  /// Records.
  var labelledCount: Int { counts.records }

  init(
    _ binding: LayerBinding, cost: @escaping (Float) -> Float, slope: @escaping (Float) -> Float,
    divisor: LossNormalization? = nil, costs: Int? = nil
  ) {
    bottoms = binding.bottomShapes.indices.map { binding.bottom($0) }
    loss = binding.top(0)
    self.costs = costs.map { binding.top($0) }
    self.cost = cost
    self.slope = slope
    normalization = divisor
    let shape = bottoms[0].shape
    width = shape.count / max(1, shape.extent(0))
    positions = max(1, shape.extent(2) * shape.extent(3))
    binding.backwardReads(bottoms: bottoms)
  }

  private var normalizer: Float {
    normalization?.divisor(counts, positions: positions) ?? Float(max(1, counts.records))
  }

  func forward() {
    let (a, b) = (bottoms[0].values, bottoms[1].values)
    let inner = bottoms.count > 2 ? bottoms[2].values : nil
    let outer = bottoms.count > 3 ? bottoms[3].values : nil
    costs?.values.update(repeating: 0, count: costs?.count ?? 0)
    counts = LabelCounts()
    var sum = 0.0
    for record in 0..<bottoms[0].liveShape.extent(0) {
      var isLabelled = false
      for i in (record * width)..<((record + 1) * width) where !b[i].isNaN {
        isLabelled = true
        let value = (outer?[i] ?? 1) * cost((inner?[i] ?? 1) * (a[i] - b[i]))
        sum += Double(value)
        if let costs { costs.values[record * positions + (i - record * width) % positions] += value }
      }
      guard isLabelled else { continue }
      counts.records += 1
      counts.labelled += labelledPositions(b + record * width)
    }
    loss.values[0] = Float(sum) / normalizer
  }

  /// The positions of a record that have a label in any channel.
  private func labelledPositions(_ b: UnsafePointer<Float>) -> Int {
    guard normalization != nil else { return 0 }
    return (0..<positions).count { position in
      stride(from: position, to: width, by: positions).contains { !b[$0].isNaN }
    }
  }

  func backward() {
    let (a, b) = (bottoms[0].values, bottoms[1].values)
    let inner = bottoms.count > 2 ? bottoms[2].values : nil
    let outer = bottoms.count > 3 ? bottoms[3].values : nil
    let factor = loss.hasGradient ? loss.gradients[0] / normalizer : 0
    for (bottom, sign) in zip(bottoms, [factor, -factor]) where bottom.hasGradient {
      let dx = bottom.gradients
      (dx + bottom.liveCount).update(repeating: 0, count: bottom.count - bottom.liveCount)
      for i in 0..<bottom.liveCount {
        let weight = inner?[i] ?? 1
        dx[i] = b[i].isNaN ? 0 : sign * (outer?[i] ?? 1) * weight * slope(weight * (a[i] - b[i]))
      }
    }
  }
}
