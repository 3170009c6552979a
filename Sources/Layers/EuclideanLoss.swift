import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// Half the mean squared distance: sum over all values of (a - b)^2 / (2 N), N the batch.
///
/// Both bottoms take a gradient. A NaN in the second bottom (the target) means 'not labelled' and counts for nothing;
/// N then counts the records that have at least one label.
package struct EuclideanLoss: Layer {
  package static let type = "EuclideanLoss"
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
    let bottoms = [binding.bottom(0), binding.bottom(1)]
    let loss = binding.top(0)
    binding.backwardReads()
    return Run(
      binding.engine, bottoms, loss, difference: binding.workspace(bottoms[0].count * MemoryLayout<Float>.stride))
  }

  private final class Run: LossRun {
    private let engine: any Engine
    private let bottoms: [Blob]
    private let loss: Blob
    private let difference: Region
    private(set) var labelledCount = 0

    init(_ engine: any Engine, _ bottoms: [Blob], _ loss: Blob, difference: Region) {
      self.engine = engine
      self.bottoms = bottoms
      self.loss = loss
      self.difference = difference
    }

    func forward() {
      let d = difference.pointer.assumingMemoryBound(to: Float.self)
      let a = bottoms[0].values
      let b = bottoms[1].values
      let batch = max(1, bottoms[0].shape.extent(0))
      let width = bottoms[0].count / batch
      labelledCount = 0
      let live = bottoms[0].liveCount
      (d + live).update(repeating: 0, count: bottoms[0].count - live)
      for record in 0..<min(batch, bottoms[0].liveShape.extent(0)) {
        var isLabelled = false
        for i in (record * width)..<((record + 1) * width) {
          let known = !b[i].isNaN
          isLabelled = isLabelled || known
          d[i] = known ? a[i] - b[i] : 0
        }
        if isLabelled { labelledCount += 1 }
      }
      loss.values[0] = Float(engine.vectors.dot(bottoms[0].count, d, d)) / Float(max(1, labelledCount)) / 2
    }

    func backward() {
      let d = difference.pointer.assumingMemoryBound(to: Float.self)
      let factor = loss.gradients[0] / Float(max(1, labelledCount))
      for (index, bottom) in bottoms.enumerated() where bottom.hasGradient {
        engine.vectors.axpby(bottom.count, index == 0 ? factor : -factor, d, 0, bottom.gradients)
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two blobs", inputs: [.normal([3, 4]), .normal([3, 4])],
      #"layer { name: "loss" type: "EuclideanLoss" bottom: "in0" bottom: "in1" top: "loss" }"#),
    LayerExample(
      "weighted", inputs: [.normal([2, 2, 3]), .normal([2, 6])],
      #"layer { name: "loss" type: "EuclideanLoss" bottom: "in0" bottom: "in1" top: "loss" loss_weight: 0.3 }"#),
  ]
}
