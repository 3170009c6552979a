import CaffeSchema
import Compute
import Diagnostics
import Nets
import Tensors

/// top = max(bottom, 0) + slope min(bottom, 0), with a learned slope for each channel (He, Zhang, Ren, Sun, ICCV 2015).
///
/// Bottom N x C or N x C x (positions). Parameter: C slopes, or one for all with `channel_shared`; 0.25 at first unless
/// `filler` says otherwise.
package struct PReLU: Layer {
  package static let type = "PReLU"
  package static let parameterFields: [String]? = ["prelu_param"]
  package static let bottomCount = 1...1
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: PReLUParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.preluParam
  }

  private func repetition(_ bottom: Shape) throws -> Repetition {
    guard bottom.rank >= 2 else {
      throw fields.fault(.badShape, "needs a bottom of 2 or more axes (N x C x …), but it is \(bottom)")
    }
    return param.channelShared
      ? Repetition(outer: 1, shape: .scalar, inner: bottom.count)
      : Repetition(outer: bottom[0], shape: [bottom[1]], inner: bottom.count(2...))
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    var quarter = FillerParameter()
    quarter.value = 0.25
    let slopes = ParameterDefinition(
      name: "slopes", shape: try repetition(bottoms[0]).shape, filler: param.hasFiller ? param.filler : quarter)
    return LayerShapes(tops: bottoms, parameters: [slopes])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { .all }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let bottom = binding.bottom(0)
    let top = binding.top(0)
    binding.backwardReads(bottoms: [bottom])
    binding.allowInPlace(bottom, top)
    return Run(
      binding.engine, bottom, top, binding.parameters[0], try repetition(binding.bottomShapes[0]),
      learns: binding.learns[0])
  }

  private final class Run: LayerRun {
    private let engine: any Engine
    private let bottom: Blob
    private let top: Blob
    private let slopes: Parameter
    private let repetition: Repetition
    private let learns: Bool

    init(
      _ engine: any Engine, _ bottom: Blob, _ top: Blob, _ slopes: Parameter, _ repetition: Repetition, learns: Bool
    ) {
      self.engine = engine
      self.bottom = bottom
      self.top = top
      self.slopes = slopes
      self.repetition = repetition
      self.learns = learns
    }

    func forward() {
      let x = bottom.values
      let y = top.values
      forEachRow { [slopes = slopes.values] row, channel in
        let slope = slopes[channel]
        for i in row { y[i] = x[i] > 0 ? x[i] : slope * x[i] }
      }
    }

    func backward() {
      let x = bottom.values
      let dy = top.gradients
      if learns {
        slopes.accumulate { sums, isFirst in
          repetition.addSums(engine, sums, overwrite: isFirst) { x[$0] <= 0 ? Double(dy[$0]) * Double(x[$0]) : 0 }
        }
      }
      guard bottom.hasGradient else { return }
      let dx = bottom.gradients
      forEachRow { [slopes = slopes.values] row, channel in
        let slope = slopes[channel]
        for i in row { dx[i] = x[i] > 0 ? dy[i] : slope * dy[i] }
      }
    }

    /// The indices of each record's values of one channel.
    private func forEachRow(_ body: (_ row: Range<Int>, _ channel: Int) -> Void) {
      // A slope that all channels share has one long row, which is cut.
      let (count, inner) = (repetition.count, repetition.inner)
      if count == 1, repetition.outer == 1 {
        engine.parallel(inner, grain: 4096) { from, to in body(from..<to, 0) }
        return
      }
      engine.parallel(repetition.outer * count, grain: repetition.rowGrain) { from, to in
        for row in from..<to { body((row * inner)..<((row + 1) * inner), row % count) }
      }
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "per channel", inputs: [.normalAway([2, 3, 4, 2], from: 0)],
      """
      layer { name: "p" type: "PReLU" bottom: "in0" top: "p" prelu_param { filler { type: "gaussian" std: 1 } } }
      """),
    LayerExample(
      "shared, in place", inputs: [.normalAway([3, 7], from: 0)],
      #"layer { name: "p" type: "PReLU" bottom: "in0" top: "in0" prelu_param { channel_shared: true } }"#),
  ]
}
