import CaffeSchema
import Compute
import Diagnostics
import Glibc
import Nets
import Tensors

/// Keeps the channels that a guidance speaks for (Xiao, Li, Ouyang, Wang, CVPR 2016, and their fork of Caffe).
///
/// Bottoms: N x C x …, and a guidance N x C. With `type: "deterministic"` a channel is kept where its guidance is above
/// `guidance_threshold`, and what is kept is multiplied by C / kept. With "stochastic", in TRAIN, it is kept with
/// probability p = 1 / (1 + e^-(`sigmoid_scaler` guidance)), by seed, layer and pass alone, and multiplied by C / sum of p;
/// in TEST all is kept. The guidance takes no gradient.
package struct GuidedDropout: Layer {
  package static let type = "GuidedDropout"
  package static let parameterFields: [String]? = ["guided_dropout_param"]
  package static let bottomCount = 2...2
  package static let topCount = 1...1

  private let fields: LayerFields
  private let param: GuidedDropoutParameter

  package init(_ fields: LayerFields) throws {
    self.fields = fields
    param = fields.parameter.guidedDropoutParam
    guard ["deterministic", "stochastic"].contains(param.type) else {
      throw fields.fault("type must be deterministic or stochastic", at: "guided_dropout_param.type")
    }
  }

  package func takesGradient(bottom index: Int) -> Bool { index == 0 }

  package func shapes(of bottoms: [Shape]) throws -> LayerShapes {
    guard bottoms[0].rank >= 2, bottoms[1].count == bottoms[0].count(..<2), bottoms[1].extent(0) == bottoms[0][0] else {
      throw fields.fault(
        .badShape, "needs a guidance N x C for a bottom N x C x …, but they are \(bottoms[1]) and \(bottoms[0])")
    }
    return LayerShapes(tops: [bottoms[0]])
  }

  package func rowwise(_ bottoms: [Shape], along axis: Int) -> RowwiseBlobs? { axis == 0 ? .all : nil }

  package func bind(_ binding: LayerBinding) throws -> any LayerRun {
    let (bottom, guidance) = (binding.bottom(0), binding.bottom(1))
    let top = binding.top(0)
    binding.backwardReads()
    binding.allowInPlace(bottom, top)
    return Run(
      bottom, guidance, top, param, binding.draws, isTraining: fields.phase == .train,
      factors: binding.workspace(guidance.count * MemoryLayout<Float>.stride))
  }

  private final class Run: LayerRun {
    private let bottom: Blob
    private let guidance: Blob
    private let top: Blob
    private let param: GuidedDropoutParameter
    private let draws: LayerDraws
    private let isTraining: Bool
    /// What each channel of each record is multiplied by.
    private let factors: Region
    private let channels: Int
    private let inner: Int

    init(
      _ bottom: Blob, _ guidance: Blob, _ top: Blob, _ param: GuidedDropoutParameter, _ draws: LayerDraws,
      isTraining: Bool, factors: Region
    ) {
      self.bottom = bottom
      self.guidance = guidance
      self.top = top
      self.param = param
      self.draws = draws
      self.isTraining = isTraining
      self.factors = factors
      channels = bottom.shape[1]
      inner = bottom.shape.count(2...)
    }

    private var factor: UnsafeMutablePointer<Float> { factors.pointer.assumingMemoryBound(to: Float.self) }

    func forward() {
      let isStochastic = param.type == "stochastic"
      let stream = draws.stream
      for n in 0..<bottom.shape[0] {
        let (g, f) = (guidance.values + n * channels, factor + n * channels)
        var weight: Float = 0
        for c in 0..<channels {
          if isStochastic {
            let probability = 1 / (1 + expf(-g[c] * param.sigmoidScaler))
            f[c] = isTraining ? stream.uniform(n * channels + c) <= probability ? 1 : 0 : 1
            weight += isTraining ? probability : 1
          } else {
            f[c] = g[c] > param.guidanceThreshold ? 1 : 0
            weight += f[c]
          }
        }
        let scale = weight > 0 ? Float(channels) / weight : 1
        for c in 0..<channels { f[c] *= scale }
      }
      multiply(bottom.values, top.values)
    }

    func backward() { multiply(top.gradients, bottom.gradients) }

    private func multiply(_ from: UnsafePointer<Float>, _ to: UnsafeMutablePointer<Float>) {
      for row in 0..<guidance.count {
        let f = factor[row]
        for i in (row * inner)..<((row + 1) * inner) { to[i] = f == 0 ? 0 : f * from[i] }
      }
    }
  }

  package static let examples: [LayerExample] = [
    example("deterministic", #"guidance_threshold: 0.1"#, .train),
    example("stochastic in training", #"type: "stochastic" sigmoid_scaler: 2"#, .train),
    example("stochastic in testing", #"type: "stochastic""#, .test),
  ]

  private static func example(_ name: String, _ param: String, _ phase: Phase) -> LayerExample {
    LayerExample(
      name, inputs: [.normal([3, 4, 2]), .normal([3, 4])],
      """
      layer { name: "g" type: "GuidedDropout" bottom: "in0" bottom: "in1" top: "g" guided_dropout_param { \(param) } }
      """, phase: phase)
  }
}
