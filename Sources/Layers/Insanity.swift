import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// The randomised leaky rectifier (Xu, Wang, Chen, Li, 2015; happynear's fork of Caffe): top = bottom where it is above 0,
/// bottom / s elsewhere.
///
/// In TRAIN s is drawn for each value, uniform in `lb` ... `ub`, by seed, layer and pass alone; in TEST s = (ub - lb) / (ln
/// |ub| - ln |lb|).
package struct Insanity: Layer {
  package static let type = "Insanity"
  package static let parameterFields: [String]? = ["insanity_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let param: InsanityParameter
  private let isTraining: Bool

  package init(_ fields: LayerFields) throws {
    param = fields.parameter.insanityParam
    isTraining = fields.phase == .train
    guard param.ub > param.lb, param.lb * param.ub > 0 else {
      throw fields.fault("ub must be above lb, and both on one side of 0", at: "insanity_param")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { LayerShapes(tops: bottoms) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { .all }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    let top = binding.top(0)
    binding.backwardReads()
    binding.allowInPlace(bottom, top)
    let mean = (param.ub - param.lb) / (logf(abs(param.ub)) - logf(abs(param.lb)))
    return Run(
      binding.engine, bottom, top, binding.draws, isTraining ? (param.lb, param.ub) : (mean, mean),
      factors: binding.workspace(bottom.count * MemoryLayout<Float>.stride))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let draws: LayerDraws
    private let range: (from: Float, to: Float)
    /// What each value is multiplied by.
    private let factors: Region

    init(
      _ engine: any Engine, _ bottom: Blob, _ top: Blob, _ draws: LayerDraws, _ range: (Float, Float), factors: Region
    ) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.draws = draws
      self.range = range
      self.factors = factors
    }

    func forward() {
      let stream = draws.stream
      let (x, y) = (bottom.values, top.values)
      let factor = factors.pointer.assumingMemoryBound(to: Float.self)
      engine.parallel(bottom.count, grain: 4096) { [range] from, to in
        for i in from..<to {
          factor[i] = x[i] > 0 ? 1 : 1 / (range.from + (range.to - range.from) * stream.uniform(i))
          y[i] = x[i] * factor[i]
        }
      }
    }

    func backward() {
      let (dx, dy) = (bottom.gradients, top.gradients)
      let factor = factors.pointer.assumingMemoryBound(to: Float.self)
      engine.parallel(bottom.count, grain: 4096) { from, to in
        for i in from..<to { dx[i] = dy[i] * factor[i] }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("in training", .train), example("in testing", .test),
  ]

  private static func example(_ name: String, _ phase: Phase) -> LayerExample {
    LayerExample(
      name, inputs: [.normalAway([2, 3, 4, 5], from: 0)],
      #"layer { name: "r" type: "Insanity" bottom: "in0" top: "r" insanity_param { lb: 3 ub: 8 } }"#, phase: phase)
  }
}
