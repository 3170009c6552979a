import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// Keeps records of a tree of labels apart level by level: those of one fine label nearest, those of one coarse label
/// nearer than all others (the quadruplets of Zhang, Zhou, Lin, Zhang, arXiv 1512.02895): L(r, p+, p-) + L(r, p-, n), L
/// being the triplet loss, p+ a record of r's fine label, p- one that shares only the coarse one, n any other.
///
/// Bottoms: embeddings N x C, usually of length 1; then the labels of each level, N each, the finest first. All triplets of
/// the batch are formed, of an anchor, a record that shares a level with it and one that shares only the next level that
/// occurs in the batch; a record shares level i when that is the first with the same label. `margin` is given for each
/// level; where a level does not occur, its margin is added to that before it. The loss is half the mean of max(margin +
/// |a - p|^2 - |a - n|^2, 0) over the triplets that cost something, or over all with `average_over_all`. Records with a NaN
/// label count for nothing; a batch without a triplet has loss and gradient 0.
package struct QuadrupletLoss: Layer {
  package static let type = "QuadrupletLoss"
  package static let parameterFields: [String]? = ["quadruplet_loss_param"]
  package static let role = LayerRole.loss
  package static let bottomCount = 2...Int.max
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: QuadrupletLossParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.quadrupletLossParam
    let levels = fields.parameter.bottom.count - 1
    guard param.margin.count == levels else {
      throw fields.fault(
        "give margin once for each level of labels: \(levels) times, not \(param.margin.count)",
        at: "quadruplet_loss_param.margin")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    for index in 1..<bottoms.count where bottoms[index].count != bottoms[0].extent(0) {
      throw fields.fault(
        .badShape, "the \(bottoms[0].extent(0)) embeddings need a label each, but the labels are \(bottoms[index])",
        at: "bottom[\(index)]")
    }
    return LayerShapes(tops: [.scalar])
  }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let levels = (1..<binding.bottomShapes.count).map { binding.bottom($0) }
    return BatchTripletRun(
      binding, Miner(levels: levels, margins: param.margin), isSquared: true, averagesOverAll: param.averageOverAll)
  }

  private struct Miner: TripletMiner {
    let levels: [Blob]
    let margins: [Float]

    var labelledCount: Int { (0..<levels[0].count).count(where: isLabelled) }

    func forEach(_ distances: UnsafePointer<Float>, _ body: (Int, Int, Int, Float) -> Void) {
      for anchor in 0..<levels[0].count where isLabelled(anchor) {
        var near: Int?
        for far in 0...levels.count where occurs(far, anchor) {
          if let near {
            let margin = margins[near..<far].reduce(0, +)
            forEach(sharing: near, anchor) { positive in
              forEach(sharing: far, anchor) { body(anchor, positive, $0, margin) }
            }
          }
          near = far
        }
      }
    }

    private func occurs(_ level: Int, _ anchor: Int) -> Bool {
      (0..<levels[0].count).contains { shares($0, level, anchor) }
    }

    private func forEach(sharing level: Int, _ anchor: Int, _ body: (Int) -> Void) {
      for other in 0..<levels[0].count where shares(other, level, anchor) { body(other) }
    }

    /// Whether a level is the first at which another record has the anchor's label; the one behind the last for none.
    private func shares(_ other: Int, _ level: Int, _ anchor: Int) -> Bool {
      guard other != anchor, isLabelled(other) else { return false }
      return (levels.firstIndex { $0.values[anchor] == $0.values[other] } ?? levels.count) == level
    }

    private func isLabelled(_ record: Int) -> Bool { !levels.contains { $0.values[record].isNaN } }
  }

  package static let examples: [LayerExample] = [
    example("two levels", "margin: 1 margin: 2"),
    example("over all triplets", "margin: 1 margin: 0.5 average_over_all: true"),
  ]

  private static func example(_ name: String, _ param: String) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([7, 3]), .labels([7], classes: 3), .labels([7], classes: 2)],
      """
      layer { name: "loss" type: "QuadrupletLoss" bottom: "in0" bottom: "in1" bottom: "in2" top: "loss"
        quadruplet_loss_param { \(param) } }
      """)
  }
}
