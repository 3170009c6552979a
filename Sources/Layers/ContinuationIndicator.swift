import CaffeSchema
import Diagnostics
import Nets
import Tensors

/// The marks that an LSTM needs for sequences that start in each pass: T x N, 0 at the first step and 1 behind it.
/// `continuation_indicator_param` gives T as `time_step` and N as `batch_size`.
package struct ContinuationIndicator: Layer {
  package static let type = "ContinuationIndicator"
  package static let parameterFields: [String]? = ["continuation_indicator_param"]
  package static let bottomCount = 0...0
  package static let topCount = 1...1

  private let steps: Int
  private let streams: Int

  package init(_ fields: LayerFields) throws {
    let param = fields.parameter.continuationIndicatorParam
    (steps, streams) = (Int(param.timeStep), Int(param.batchSize))
    guard steps > 0, streams > 0 else {
      throw fields.fault("time_step and batch_size must be at least 1", at: "continuation_indicator_param")
    }
  }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes { LayerShapes(tops: [[steps, streams]]) }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun { Run(binding.top(0), streams: streams) }

  private final class Run: LayerRun {
    private let top: Blob
    private let streams: Int

    init(_ top: Blob, streams: Int) {
      self.top = top
      self.streams = streams
    }

    func forward() {
      top.values.update(repeating: 1, count: top.count)
      top.values.update(repeating: 0, count: streams)
    }
  }

  package static let examples: [LayerExample] = [
    LayerExample(
      "two sequences", inputs: [],
      """
      layer { name: "c" type: "ContinuationIndicator" top: "c"
        continuation_indicator_param { time_step: 4 batch_size: 2 } }
      """, checksGradient: false)
  ]
}
