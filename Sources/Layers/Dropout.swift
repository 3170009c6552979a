import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// In TRAIN, each value is zero with probability `dropout_ratio` and divided by 1 - ratio otherwise (Srivastava,
/// Hinton, Krizhevsky, Sutskever, Salakhutdinov, JMLR 2014); in TEST, the bottom itself.
///
/// Of forks: with `sample_weights_test` it drops in TEST too; with `scale_train: false` the kept values stay as they are
/// in TRAIN, and in TEST all are multiplied by 1 - ratio.
///
/// With a ratio of 1 all values are dropped, and the top is 0 in TRAIN (in Caffe 0 times infinity).
///
/// The draws depend on seed, layer and pass alone, so threads and resume do not change them.
package struct Dropout: Layer {
  package static let type = "Dropout"
  package static let parameterFields: [String]? = ["dropout_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let ratio: Float
  private let drops: Bool
  private let scalesTraining: Bool

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.dropoutParam
    ratio = param.dropoutRatio
    drops = fields.phase == .train || param.sampleWeightsTest
    scalesTraining = param.scaleTrain
    guard ratio >= 0, ratio <= 1 else {
      throw fields.fault("dropout_ratio must be in 0...1; it is \(ratio)", at: "dropout_param.dropout_ratio")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { LayerShapes(tops: bottoms) }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { .all }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    binding.backwardReads()
    if !drops, scalesTraining {
      _ = binding.topViewing(bottom, 0)
      return ViewRun()
    }
    let top = binding.top(0)
    binding.allowInPlace(bottom, top)
    guard drops else { return FactorRun(binding.engine, bottom, top, 1 - ratio) }
    return Run(
      binding.engine, bottom, top, ratio, scale: scalesTraining && ratio < 1 ? 1 / (1 - ratio) : 1, binding.draws,
      mask: binding.workspace(bottom.count))
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let ratio: Float
    private let scale: Float
    private let draws: LayerDraws
    /// A byte for each value: 1 when it is kept.
    private let mask: Region

    init(
      _ engine: any Engine, _ bottom: Blob, _ top: Blob, _ ratio: Float, scale: Float, _ draws: LayerDraws,
      mask: Region
    ) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.ratio = ratio
      self.scale = scale
      self.draws = draws
      self.mask = mask
    }

    func forward() {
      let stream = draws.stream
      let kept = mask.pointer.assumingMemoryBound(to: UInt8.self)
      let x = bottom.values
      let y = top.values
      engine.parallel(bottom.count, grain: 4096) { [ratio, scale] from, to in
        for i in from..<to {
          let keeps = stream.uniform(i) >= ratio
          kept[i] = keeps ? 1 : 0
          y[i] = keeps ? x[i] * scale : 0
        }
      }
    }

    func backward() {
      let kept = mask.pointer.assumingMemoryBound(to: UInt8.self)
      let dy = top.gradients
      let dx = bottom.gradients
      engine.parallel(bottom.count, grain: 4096) { [scale] from, to in
        for i in from..<to { dx[i] = kept[i] != 0 ? dy[i] * scale : 0 }
      }
    }
  }

  private final class FactorRun: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let factor: Float

    init(_ engine: any Engine, _ bottom: Blob, _ top: Blob, _ factor: Float) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.factor = factor
    }

    func forward() { engine.vectors.axpby(top.count, factor, bottom.values, 0, top.values) }
    func backward() { engine.vectors.axpby(top.count, factor, top.gradients, 0, bottom.gradients) }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "in training", inputs: [.normal([4, 9])],
      #"layer { name: "drop" type: "Dropout" bottom: "in0" top: "drop" dropout_param { dropout_ratio: 0.4 } }"#),
    LayerExample(
      "in place", inputs: [.normal([2, 3, 4, 4])],
      #"layer { name: "drop" type: "Dropout" bottom: "in0" top: "in0" }"#),
    LayerExample(
      "dropping in testing", inputs: [.normal([4, 9])],
      #"layer { name: "drop" type: "Dropout" bottom: "in0" top: "drop" dropout_param { sample_weights_test: true } }"#,
      phase: .test),
    LayerExample(
      "scaled in testing", inputs: [.normal([4, 9])],
      #"layer { name: "drop" type: "Dropout" bottom: "in0" top: "drop" dropout_param { scale_train: false } }"#,
      phase: .test),
    LayerExample(
      "nothing is left", inputs: [.normal([4, 9])],
      #"layer { name: "drop" type: "Dropout" bottom: "in0" top: "drop" dropout_param { dropout_ratio: 1 } }"#),
    LayerExample(
      "in testing", inputs: [.normal([4, 9])],
      #"layer { name: "drop" type: "Dropout" bottom: "in0" top: "drop" }"#, phase: .test),
  ]
}

/// A layer whose tops are its bottom's memory: nothing to do.
final class ViewRun: LayerRun {
  func forward() {}
}
